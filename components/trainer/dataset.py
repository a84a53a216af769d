"""The training images of one resolution, in an order that is a pure function of seed and position.

Every epoch shuffles the files and the records with a seed of its own, so a dataset can begin at any position:
whole epochs are skipped for nothing, the rest of one by reading over its raw records.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.records.pyramid_labels import read_labels
from proganomaly.components.records.pyramid_record import (
    check_records,
    count_records,
    find_levels,
    parse_pyramid_records,
    read_records,
    read_shape,
    single_file_prefix,
)
from proganomaly.components.trainer.settings import DataSettings

# A folder without splits holds out every fifth image for calibration: the records of the original's files
# stand in the same order at every resolution, so the index names the image.
HOLD_OUT_EVERY = 5

_Batch = TypeVar("_Batch")


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
        self._prefix, self._hold_out = prefix, hold_out
        if hold_out and any(len(files) > 1 for files in self.levels.values()):
            raise UserError(f"{folder} must have one file per level to hold out images; it has several")
        self._counts = {
            resolution: [count_records(path) for path in files] for resolution, files in self.levels.items()
        }
        self._total = sum(self._counts[self.largest])
        self.images = self._own_count(self._total)
        first = next(read_records(self.levels[self.largest][0]))
        self.channels = read_shape(first)[0]
        self._cache: tuple[int, tf.Tensor] | None = None

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

    def labels(self, label_count: int) -> NDArray[np.int32]:
        """Returns the class of every record of a level, held out or not, int32 [N], in file order.

        Args:
            label_count: How many classes there must be; 0 gives zeros without looking for labels.

        Raises:
            UserError: there is no `<prefix>rxx.labels`, or it fits neither the classes nor the records.
        """
        if not label_count:
            return np.zeros(self._total, np.int32)
        prefix = single_file_prefix(self.folder, self.levels, self._prefix)
        rows = read_labels(prefix) if prefix is not None else None
        if rows is None:
            raise UserError(
                f"networks.label_count is {label_count}, but {self.folder} has no labels: a file "
                f"<prefix>rxx.labels beside the levels <prefix>rNN<suffix>"
            )
        if rows.shape != (self._total, label_count):
            raise UserError(
                f"the labels {prefix}rxx.labels must be of {self._total} images and {label_count} classes "
                f"(networks.label_count); they are of {rows.shape[0]} and {rows.shape[1]}"
            )
        return np.argmax(rows, axis=1).astype(np.int32)

    def records(
        self,
        resolution: int,
        epoch: tf.Tensor | int | None = None,
        seed: int = 0,
        buffer_bytes: int | None = None,
    ) -> tf.data.Dataset:
        """Returns (index in file order, serialized record) of one level.

        The files come in the order of `epoch` if it is given. `buffer_bytes` are read from a file at once.
        """
        return self._flat_map(
            lambda path, first, _: tf.data.TFRecordDataset(path, buffer_size=buffer_bytes).enumerate(first),
            resolution,
            epoch,
            seed,
        )

    def indices(
        self, resolution: int, epoch: tf.Tensor | int | None = None, seed: int = 0
    ) -> tf.data.Dataset:
        """Returns the indices that `records` returns, in the same order, without reading a file."""
        return self._flat_map(
            lambda _, first, end: tf.data.Dataset.range(first, end), resolution, epoch, seed
        )

    def cached(self, resolution: int) -> tf.Tensor:
        """Returns all images of a level, held out or not: uint8 [N, resolution, resolution, C].

        They stay in memory until another level is asked for.
        """
        if self._cache is None or self._cache[0] != resolution:
            self._cache = None
            images = np.empty([self._total, resolution, resolution, self.channels], np.uint8)
            paths = tf.data.Dataset.from_tensor_slices(self.files(resolution))
            taken = 0
            for batch in self._parsed(paths.flat_map(tf.data.TFRecordDataset), resolution, 256):
                images[taken : taken + len(batch)] = batch
                taken += len(batch)
            with tf.device("CPU"):  # an accelerator's memory is for the networks
                self._cache = (resolution, tf.constant(images))
        return self._cache[1]

    def batches(self, resolution: int, batch_size: int = 32) -> Iterator[np.ndarray]:
        """Yields all images once in file order: uint8 [N, resolution, resolution, C]."""
        return self._parsed(self.records(resolution).map(lambda _, record: record), resolution, batch_size)

    def reading(self, resolution: int, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        """Yields the batches of a level.

        Raises:
            UserError: a file cannot be read to its end, or a record is not of that level.
        """
        try:
            yield from batches
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            # TensorFlow names neither the file nor the record, and its message may hold a record's bytes and
            # be no text: they are read once more to find them.
            with contextlib.suppress(tf.errors.OpError):
                check_records(self.files(resolution), resolution, self.channels)
            reason = str(getattr(error, "message", "no text")).splitlines()[0].rpartition("}} ")[2]
            raise UserError(
                f"the level of {resolution} pixels in {self.folder} cannot be read: {reason}"
            ) from error

    def _parsed(self, records: tf.data.Dataset, resolution: int, batch_size: int) -> Iterator[np.ndarray]:
        batches = records.batch(batch_size)
        parsed = batches.map(lambda serialized: parse_pyramid_records(serialized, resolution, self.channels))
        yield from self.reading(resolution, parsed.as_numpy_iterator())

    def _flat_map(
        self,
        read: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.data.Dataset],
        resolution: int,
        epoch: tf.Tensor | int | None,
        seed: int,
    ) -> tf.data.Dataset:
        """Joins what `read(path, first index, index behind the last)` returns of each file."""
        paths = self.files(resolution)
        ends = np.cumsum(self._counts[resolution], dtype=np.int64)
        files = tf.data.Dataset.from_tensor_slices((paths, ends - self._counts[resolution], ends))
        if epoch is not None:
            files = files.shuffle(len(paths), seed=_epoch_seed(seed, epoch))
        content = files.flat_map(read)
        if self._hold_out is None:
            return content
        wanted = self._hold_out == "calibration"
        return content.filter(lambda index, *_: tf.equal(tf.equal(index % HOLD_OUT_EVERY, 0), wanted))

    def _own_count(self, total: int) -> int:
        held_out = -(-total // HOLD_OUT_EVERY)
        return {None: total, "calibration": held_out, "train": total - held_out}[self._hold_out]


def training_batches(
    source: PyramidSource,
    resolution: int,
    batch_size: int,
    position: int,
    seed: int,
    settings: DataSettings,
    label_count: int = 0,
) -> tf.data.Dataset:
    """Returns an endless dataset of (images, labels).

    Images are uint8 [batch_size, resolution, resolution, C], labels int32 [batch_size].

    Args:
        source: The training images.
        resolution: Side of the images in pixels.
        batch_size: Images per batch.
        position: Images that the run has taken since its beginning: where in the order to start.
        seed: Seed of the order and of mirroring.
        settings: How to read; none but `shuffle_buffer` and `mirror_augment` changes what comes out.
        label_count: Number of classes; 0 gives zeros for labels.

    Raises:
        UserError: there is no such level, or the labels are missing or do not fit.
    """
    source.files(resolution)
    # Tensors of the data set's own device, not numbers that each function would copy into its graph.
    with tf.device("CPU"):
        all_labels = tf.constant(source.labels(label_count))
    cached = source.cached(resolution) if settings.cache else None

    def epoch_content(epoch: tf.Tensor) -> tf.data.Dataset:
        # Shuffling mixes in the seed of its graph, by default TensorFlow's global one.
        tf.random.set_seed(seed)
        if cached is None:
            content = source.records(resolution, epoch, seed, settings.read_buffer_bytes)
        else:
            content = source.indices(resolution, epoch, seed).map(lambda index: (index, ""))
        return content.shuffle(min(settings.shuffle_buffer, source.images), seed=_epoch_seed(seed, epoch))

    def decode(places: tf.Tensor, content: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        indices, serialized = content
        if cached is None:
            images = parse_pyramid_records(serialized, resolution, source.channels)
        else:
            images = tf.gather(cached, indices)
        labels = tf.gather(all_labels, indices)
        return (_mirrored(images, places, seed) if settings.mirror_augment else images), labels

    first_epoch, offset = divmod(position, source.images)
    dataset = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_content).skip(offset)
    dataset = dataset.enumerate(start=position).batch(batch_size, drop_remainder=True).map(decode)
    return dataset.prefetch(settings.prefetch_batches)


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
