"""TensorBoard's event files of a run that was stopped and goes on."""

from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from proganomaly.components.files import replacing


def drop_events(folder: str, unwanted: Callable[[Event], bool]) -> None:
    """Takes events out of the files of a folder; files without any such event stay as they are.

    A restarted run computes again what came after its checkpoint. TensorBoard's own mark of a restart
    (`SessionLog.START`) is obeyed by one of its two readers only, so the events themselves go.

    Args:
        folder: Where the event files are; nothing is done if it is missing.
        unwanted: Says of an event whether it has to go.
    """
    for path in tf.io.gfile.glob(f"{folder}/*tfevents*"):
        if path.rpartition("/")[2].startswith("."):
            # Left by a process that was killed while it wrote a file anew.
            tf.io.gfile.remove(path)
        elif any(unwanted(Event.FromString(record)) for record in _records(path)):
            with replacing(path) as beside, tf.io.TFRecordWriter(beside) as writer:
                for record in _records(path):
                    if not unwanted(Event.FromString(record)):
                        writer.write(record)


def _records(path: str) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(path).as_numpy_iterator()
    except tf.errors.DataLossError:
        # A process that is killed may leave its last record unfinished.
        return
