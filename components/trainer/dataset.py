"""The training images of one resolution, in an order that is a pure function of seed and position.

Every epoch shuffles the files and the records with a seed of its own, so a dataset can begin at any position:
whole epochs are skipped for nothing, the rest of one by reading over its raw records.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.records.pyramid_record import (
    count_records,
    find_levels,
    parse_pyramid_records,
    read_records,
    read_shape,
)

# A folder without splits holds out every fifth image for calibration: the records of the original's files
# stand in the same order at every resolution, so the index names the image.
HOLD_OUT_EVERY = 5


class PyramidSource:
    """The records of one split, by resolution.

    Args:
        folder: A pyramid folder; see `find_levels`.
        prefix: What stands before `rNN` in single files, or None.
        suffix: What stands behind `rNN` in single files, or None.
        hold_out: None for all images, "train" or "calibration" for the parts of a folder without splits.

    Raises:
        UserError: see `find_levels`.
    """

    def __init__(
        self,
        folder: str,
        prefix: str | None = None,
        suffix: str | None = None,
        hold_out: str | None = None,
    ) -> None:
        self.folder = folder
        self.levels = find_levels(folder, prefix, suffix)
        self._hold_out = hold_out
        if hold_out and any(len(files) > 1 for files in self.levels.values()):
            raise UserError(f"{folder} must have one file per level to hold out images; it has several")
        counts = {sum(count_records(path) for path in files) for files in self.levels.values()}
        self.images = self._own_count(min(counts))
        first = next(read_records(self.levels[self.largest][0]))
        self.channels = read_shape(first)[0]

    @property
    def largest(self) -> int:
        """The largest resolution that is there."""
        return max(self.levels)

    def files(self, resolution: int) -> list[str]:
        """Returns the files of one level.

        Raises:
            UserError: there is no such level.
        """
        if resolution not in self.levels:
            available = ", ".join(str(level) for level in self.levels)
            raise UserError(f"{self.folder} has no level of {resolution} pixels; its levels are {available}")
        return self.levels[resolution]

    def records(
        self, resolution: int, epoch: tf.Tensor | int | None = None, seed: int = 0
    ) -> tf.data.Dataset:
        """Returns the serialized records of one level, the files in the order of `epoch` if given."""
        paths = self.files(resolution)
        files = tf.data.Dataset.from_tensor_slices(paths)
        if epoch is not None:
            files = files.shuffle(len(paths), seed=_epoch_seed(seed, epoch))
        records = files.flat_map(tf.data.TFRecordDataset)
        if self._hold_out is None:
            return records
        wanted = self._hold_out == "calibration"
        return (
            records.enumerate()
            .filter(lambda index, _: tf.equal(tf.equal(index % HOLD_OUT_EVERY, 0), wanted))
            .map(lambda _, record: record)
        )

    def batches(self, resolution: int, batch_size: int = 32) -> Iterator[np.ndarray]:
        """Yields all images once in file order: uint8 [N, resolution, resolution, C]."""
        batches = self.records(resolution).batch(batch_size)
        yield from batches.map(
            lambda serialized: parse_pyramid_records(serialized, resolution, self.channels)
        ).as_numpy_iterator()

    def _own_count(self, total: int) -> int:
        held_out = -(-total // HOLD_OUT_EVERY)
        return {None: total, "calibration": held_out, "train": total - held_out}[self._hold_out]


def training_batches(
    source: PyramidSource,
    resolution: int,
    batch_size: int,
    position: int,
    seed: int,
    shuffle_buffer: int,
    mirror_augment: bool,
) -> tf.data.Dataset:
    """Returns an endless dataset of (images, labels).

    Images are uint8 [batch_size, resolution, resolution, C], labels int32 [batch_size].

    Args:
        source: The training images.
        resolution: Side of the images in pixels.
        batch_size: Images per batch.
        position: Images that the run has taken since its beginning: where in the order to start.
        seed: Seed of the order and of mirroring.
        shuffle_buffer: Records in the shuffle buffer.
        mirror_augment: Flip images left to right at random.
    """

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        # Shuffling mixes in the seed of its graph, by default TensorFlow's global one.
        tf.random.set_seed(seed)
        records = source.records(resolution, epoch, seed)
        return records.shuffle(min(shuffle_buffer, source.images), seed=_epoch_seed(seed, epoch))

    def decode(indices: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = parse_pyramid_records(serialized, resolution, source.channels)
        labels = tf.zeros([batch_size], tf.int32)
        return (_mirrored(images, indices, seed) if mirror_augment else images), labels

    first_epoch, offset = divmod(position, source.images)
    dataset = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_records).skip(offset)
    dataset = dataset.enumerate(start=position).batch(batch_size, drop_remainder=True).map(decode)
    return dataset.prefetch(2)


def _epoch_seed(seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    return tf.random.stateless_uniform(
        [], tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)]), 0, tf.int64.max, tf.int64
    )


def _mirrored(images: tf.Tensor, indices: tf.Tensor, seed: int) -> tf.Tensor:
    """Flips each image by the toss that belongs to its index in the run."""
    coins = tf.map_fn(
        lambda index: tf.random.stateless_uniform([], tf.stack([tf.constant(seed, tf.int64), index])),
        indices,
        fn_output_signature=tf.float32,
    )
    return tf.where(coins[:, None, None, None] < 0.5, images, tf.reverse(images, axis=[2]))
