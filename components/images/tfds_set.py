"""Images of TensorFlow Datasets: any data set with an image feature, for a folder or a pyramid."""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.images.geometry import fit_image
from proganomaly.components.images.one_class_set import GOOD, LabelledImage, lay_out
from proganomaly.components.images.spec import RESOLUTIONS, ImageSpec
from proganomaly.components.images.tfds_settings import TfdsSettings

# More labels than this are not told one by one.
_TOLD_LABELS = 20


class TfdsImages:
    """A prepared data set and the two of its features that matter here.

    Args:
        settings: What is taken.
        data_dir: Where prepared data sets are; None for TensorFlow Datasets' own folder.

    Attributes:
        class_names: Names of its classes, () without.
        full_name: Its name with configuration and version.
        splits: Names of its splits.

    Raises:
        UserError: there is no such data set, feature or class, or it is not there and cannot be downloaded.
    """

    def __init__(self, settings: TfdsSettings, data_dir: str | None = None) -> None:
        self.settings = settings
        self._builder = _open(settings.name, data_dir)
        features = self._builder.info.features
        self._image = _choose_feature(features, tfds.features.Image, "image", settings.image_feature)
        self._label = _choose_feature(features, tfds.features.ClassLabel, "label", settings.label_feature)
        if self._image is None:
            raise UserError(f"{settings.name} has no image feature; its features are {', '.join(features)}")
        image = features[self._image]
        if image.np_dtype != np.uint8:
            raise UserError(f"images must be of uint8; {self._image} of {settings.name} is {image.np_dtype}")
        if settings.normal is not None and self._label is None:
            raise UserError(f"{settings.name} has no classes, so none can be normal; leave normal out")
        _prepare(self._builder, settings.name)
        # Names may come with the data, so they are known only now.
        self.class_names = tuple(features[self._label].names or ()) if self._label else ()
        if settings.normal is not None and settings.normal not in self.class_names:
            told = ", ".join(self.class_names[:_TOLD_LABELS])
            more = ", ..." if len(self.class_names) > _TOLD_LABELS else ""
            raise UserError(f"{settings.name} has no class {settings.normal}; its classes are {told}{more}")
        self.full_name: str = self._builder.info.full_name
        self.splits = tuple(self._builder.info.splits)
        self._shape = image.shape

    def files(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the images as a data set's files: `train/good`, and `test` where one class is normal.

        Yields:
            Path relative to the data set's root; uint8 image [height, width, channels].

        Raises:
            UserError: there is no such split, or no image of the normal class.
        """
        settings = self.settings
        if settings.normal is None:
            for number, (image, _) in enumerate(self._limited(settings.split)):
                yield f"train/{GOOD}/{number:05d}.png", self._fitted(image, settings.resolution)
            return
        test = settings.test_split or ("test" if "test" in self._builder.info.splits else None)
        yield from lay_out(
            _Named(self, settings.split),
            None if test is None else _Named(self, test),
            settings.normal,
            settings.test_share,
            settings.limit,
            settings.limit,
        )

    def squares(self) -> Iterator[tuple[np.ndarray, NDArray[np.float32] | None]]:
        """Yields square images for a pyramid.

        Yields:
            uint8 [resolution, resolution, channels]; float32 [classes], one-hot, None without a class.

        Raises:
            UserError: there is no such split, or nothing says what the resolution shall be.
        """
        resolution = self.settings.resolution or _largest_square(self._shape, self.settings.name)
        rows = np.eye(len(self.class_names), dtype=np.float32)
        for image, label in self._limited(self.settings.split):
            yield self._fitted(image, resolution), None if label is None else rows[label]

    def named(self, split: str) -> Iterator[LabelledImage]:
        """Yields the images of a split with the names of their classes."""
        for image, label in self._read(split):
            name = "unlabelled" if label is None else self.class_names[label]
            yield self._fitted(image, self.settings.resolution), name

    def _limited(self, split: str) -> Iterator[tuple[np.ndarray, int | None]]:
        return itertools.islice(self._read(split), self.settings.limit or None)

    def _read(self, split: str) -> Iterator[tuple[np.ndarray, int | None]]:
        wanted = {name: True for name in (self._image, self._label) if name}
        try:
            dataset = self._builder.as_dataset(
                split=split, shuffle_files=False, decoders=tfds.decode.PartialDecoding(wanted)
            )
        except (ValueError, KeyError) as error:
            splits = ", ".join(self._builder.info.splits) or "unknown"
            raise UserError(
                f"{self.settings.name} has no split {split}, or no images in it; its splits are {splits}"
            ) from error
        for example in dataset.as_numpy_iterator():
            label = int(example[self._label]) if self._label else -1
            # Some data sets give -1 to images whose class nobody knows.
            yield example[self._image], label if label >= 0 else None

    def _fitted(self, image: np.ndarray, resolution: int | None) -> np.ndarray:
        if resolution is None:
            return image
        return fit_image(tf.constant(image), ImageSpec(resolution, fit=self.settings.fit)).numpy()


def tfds_files(settings: TfdsSettings, data_dir: str | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yields what `TfdsImages.files` does; opens the data set when the first image is wanted."""
    yield from TfdsImages(settings, data_dir).files()


def tfds_squares(
    settings: TfdsSettings, data_dir: str | None = None
) -> Iterator[tuple[np.ndarray, NDArray[np.float32] | None]]:
    """Yields what `TfdsImages.squares` does; opens the data set when the first image is wanted."""
    yield from TfdsImages(settings, data_dir).squares()


@dataclasses.dataclass(frozen=True)
class _Named:
    """The labelled images of a split, from the beginning each time."""

    images: TfdsImages
    split: str

    def __iter__(self) -> Iterator[LabelledImage]:
        return self.images.named(self.split)


def _open(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """Returns the builder; every refusal of TensorFlow Datasets, some of them pages long, in one line."""
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        meant = re.search(r"Did you mean: \S+ -> (\S+)", str(error))
        hint = f"; did you mean {meant[1]}?" if meant else ""
        raise UserError(f"TensorFlow Datasets knows no data set {name}{hint}") from error
    except (ValueError, AssertionError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0].rpartition('}": ')[2]
        if reason.startswith("BuilderConfig"):
            configs = [config.name for config in tfds.builder_cls(name.partition("/")[0]).BUILDER_CONFIGS]
            reason = f"its configurations are {', '.join(configs) or 'none'}"
        raise UserError(f"the data set {name} cannot be opened: {reason}") from error


def _choose_feature(features: Any, kind: type, usual: str, wanted: str | None) -> str | None:
    """Returns the name of the feature of a kind, None where there is none."""
    # Not instances: an image of labels is an image by class, but no picture.
    names = [name for name, feature in features.items() if type(feature) is kind]
    if wanted is not None:
        if wanted not in names:
            raise UserError(
                f"there is no {usual} feature {wanted}; the {usual} features are {', '.join(names) or 'none'}"
            )
        return wanted
    if usual in names or len(names) < 2:
        return usual if usual in names else next(iter(names), None)
    if kind is tfds.features.Image:
        raise UserError(f"there are several image features; name one of {', '.join(names)}")
    return None


def _prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Downloads and prepares the data set unless that was done before."""
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    except Exception as error:  # each data set has a way of its own to fail
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"{name} is not prepared in {builder.data_dir} and cannot be downloaded: {reason}"
        ) from error


def _largest_square(shape: tuple[int | None, ...], name: str) -> int:
    """Returns the largest resolution that images of a known shape have without being enlarged."""
    sides = [side for side in shape[:2] if side is not None]
    fitting = [resolution for resolution in RESOLUTIONS if len(sides) == 2 and resolution <= min(sides)]
    if not fitting:
        raise SettingsError(f"{name} has images of no known size; say at which resolution they are wanted")
    return fitting[-1]
