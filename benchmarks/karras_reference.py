"""What the data path is compared with: the original's way to write a data set, in numpy, in one process.

Written anew from the algorithm in Karras et al. 2018, "Progressive Growing of GANs", `dataset_tool.py`, class
TFRecordExporter: an image, channels first, is rounded, clipped and stored as it is; then, for one level after
the other, the float mean of 2x2 pixels takes its place. One TFRecord file per level; records have the
features `shape` and `data`.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

SMALLEST = 4


def box_levels(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yields uint8 [C, R, R], uint8 [C, R / 2, R / 2], ... down to 4x4 pixels, for an image [C, R, R]."""
    while True:
        yield np.rint(image).clip(0, 255).astype(np.uint8)
        if image.shape[1] == SMALLEST:
            return
        image = image.astype(np.float32)
        image = (
            image[:, 0::2, 0::2] + image[:, 0::2, 1::2] + image[:, 1::2, 0::2] + image[:, 1::2, 1::2]
        ) * 0.25


def serialize(level: np.ndarray) -> bytes:
    """Returns the record of one image at one level."""
    feature = {
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=level.shape)),
        "data": tf.train.Feature(bytes_list=tf.train.BytesList(value=[level.tobytes()])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_levels(levels: list[list[np.ndarray]], prefix: str) -> None:
    """Serialises and writes images whose levels are known, one file for each level."""
    writers = [tf.io.TFRecordWriter(f"{prefix}{number}") for number in range(len(levels[0]))]
    for image in levels:
        for writer, level in zip(writers, image, strict=True):
            writer.write(serialize(level))
    for writer in writers:
        writer.close()


def write_images(images: list[np.ndarray], prefix: str) -> None:
    """Writes images, uint8 [R, R, C], as one file for each level, `<prefix>0` the largest one."""
    largest = images[0].shape[0]
    writers = [
        tf.io.TFRecordWriter(f"{prefix}{number}")
        for number in range(int(np.log2(largest)) - int(np.log2(SMALLEST)) + 1)
    ]
    for image in images:
        for writer, level in zip(writers, box_levels(image.transpose(2, 0, 1)), strict=True):
            writer.write(serialize(level))
    for writer in writers:
        writer.close()
