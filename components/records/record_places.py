"""Records of a TFRecord file by their places, so that they can be read one by one and in any order."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.records.tfrecord_file import FRAME_BYTES, DamagedRecords, masked_crc

# What stands before a record's content: its length and that length's checksum; behind it stands its own.
_HEADER_BYTES, _CHECKSUM_BYTES = 12, 4


@dataclasses.dataclass(frozen=True)
class RecordPlaces:
    """Some records of a plain file, in the order of the file.

    Attributes:
        path: The file.
        numbers: int64 [N], which ones, counted from 0.
        starts: int64 [N], where they begin, in bytes.
        lengths: int64 [N], lengths of their contents in bytes.
    """

    path: str
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, which: np.ndarray) -> "RecordPlaces":
        """Returns the places that an index or a mask picks."""
        return RecordPlaces(self.path, self.numbers[which], self.starts[which], self.lengths[which])


def whole_file(path: str, lengths: list[int]) -> RecordPlaces:
    """Returns the places of all records of a file, by the lengths of their contents."""
    sizes = np.array(lengths, np.int64)
    starts = np.cumsum(sizes + FRAME_BYTES) - (sizes + FRAME_BYTES)
    return RecordPlaces(path, np.arange(len(sizes), dtype=np.int64), starts, sizes)


def read_places(places: RecordPlaces) -> Iterator[bytes]:
    """Yields the contents of records; memory is held for one at a time.

    Raises:
        DamagedRecords: the file cannot be read, or has another content than when its places were taken.
    """
    number = 0
    try:
        with tf.io.gfile.GFile(places.path, "rb") as file:
            for number, start, length in zip(places.numbers, places.starts, places.lengths, strict=True):
                file.seek(int(start) + _HEADER_BYTES)
                content = file.read(int(length))
                ending = file.read(_CHECKSUM_BYTES)
                if ending != masked_crc(content).to_bytes(_CHECKSUM_BYTES, "little"):
                    raise DamagedRecords(places.path, int(number), "the file changed while it was in use")
                yield content
    except (OSError, tf.errors.OpError) as error:
        reason = str(getattr(error, "message", "") or error).partition("\n")[0]
        raise DamagedRecords(places.path, int(number), f"it cannot be read ({reason})") from error
