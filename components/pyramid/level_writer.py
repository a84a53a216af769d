"""Writes images as pyramids: one file per level, all levels of an image at once."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.files import replacing
from proganomaly.components.pyramid.box_mean import box_mean_pyramid
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import encode_planes, level_name


@contextlib.contextmanager
def level_writer(path_of: Callable[[str], str]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that writes an image, uint8 [R, R, C], into the file of every level.

    Args:
        path_of: Gives the file of a level by its name, "r05". The files appear when all went well.
    """
    writers: dict[int, tf.io.TFRecordWriter] = {}
    with contextlib.ExitStack() as stack:

        def write(image: np.ndarray) -> None:
            planes = np.ascontiguousarray(image.transpose(2, 0, 1))
            for resolution, level in box_mean_pyramid(planes).items():
                if resolution not in writers:
                    beside = stack.enter_context(replacing(path_of(level_name(resolution))))
                    writers[resolution] = stack.enter_context(tf.io.TFRecordWriter(beside))
                writers[resolution].write(encode_planes(level))

        yield write


def write_single_files(prefix: str, images: Iterable[tuple[np.ndarray, NDArray[np.float32] | None]]) -> int:
    """Writes the original's layout: `<prefix>rNN.tfrecords`, and `<prefix>rxx.labels` for labelled images.

    Args:
        prefix: Path up to the level's name, such as "sets/mnist-".
        images: uint8 [R, R, C], all of one shape, and the one-hot class of each, float32 [classes] or None.

    Returns:
        The number of files.

    Raises:
        UserError: the images differ in shape, or some have a class and others not.
    """
    labels: list[NDArray[np.float32]] = []
    shape: tuple[int, ...] = ()
    with level_writer(lambda level: f"{prefix}{level}.tfrecords") as write:
        for number, (image, label) in enumerate(images):
            shape = shape or image.shape
            if image.shape != shape:
                raise UserError(f"all images must have the shape {shape}; image {number} has {image.shape}")
            write(image)
            if label is not None:
                labels.append(label)
            if len(labels) not in (0, number + 1):
                raise UserError(f"all images must have a class or none of them; image {number} differs")
    if labels:
        write_labels(prefix, np.stack(labels))
    return shape[0].bit_length() - 2 + bool(labels)
