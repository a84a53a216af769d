"""One tf.Example per image: the encoded file with all that is known of it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.tfrecord_file import read_tfrecords

IMAGE = "image"
FILENAME = "filename"
FORMAT = "format"
HEIGHT = "height"
WIDTH = "width"
CHANNELS = "channels"
LABEL = "label"
DEFECT_TYPE = "defect_type"
MASK = "mask"
BRIGHTNESS = "brightness"
CONTRAST = "contrast"
SHARPNESS = "sharpness"
SPAN = "span"

NORMAL, ANOMALOUS, UNKNOWN = 0, 1, -1
GOOD = "good"
STATISTICS_FEATURES = (BRIGHTNESS, CONTRAST, SHARPNESS, HEIGHT, WIDTH, CHANNELS, FORMAT)

# For parsing inside a graph; what an Example may lack has a default.
FEATURE_SPEC = {
    IMAGE: tf.io.FixedLenFeature([], tf.string),
    FILENAME: tf.io.FixedLenFeature([], tf.string),
    FORMAT: tf.io.FixedLenFeature([], tf.string),
    HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    WIDTH: tf.io.FixedLenFeature([], tf.int64),
    CHANNELS: tf.io.FixedLenFeature([], tf.int64),
    LABEL: tf.io.FixedLenFeature([], tf.int64, default_value=UNKNOWN),
    DEFECT_TYPE: tf.io.FixedLenFeature([], tf.string, default_value=b""),
    MASK: tf.io.FixedLenFeature([], tf.string, default_value=b""),
    BRIGHTNESS: tf.io.FixedLenFeature([], tf.float32),
    CONTRAST: tf.io.FixedLenFeature([], tf.float32),
    SHARPNESS: tf.io.FixedLenFeature([], tf.float32),
    SPAN: tf.io.FixedLenFeature([], tf.int64, default_value=0),
}


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """One image.

    Attributes:
        image: The encoded image: the file itself, or a PNG of it where no served model could decode the file.
        filename: Path relative to the folder (or span) that it came from.
        format: Format of the file: "png", "jpeg", "bmp", "gif", "tiff" or "webp".
        height: Height in pixels.
        width: Width in pixels.
        channels: Channels in the file: 1 to 4.
        brightness: See `images.features`.
        contrast: See `images.features`.
        sharpness: See `images.features`.
        label: 0 normal, 1 anomalous, None unknown.
        defect_type: "good" for a normal image, the kind of defect for an anomalous one, "" unknown.
        mask: Encoded image of the image's size, not black where defective; None without.
        span: The batch that it came with; see `image_example_gen.spans`.
    """

    image: bytes
    filename: str
    format: str
    height: int
    width: int
    channels: int
    brightness: float
    contrast: float
    sharpness: float
    label: int | None = None
    defect_type: str = ""
    mask: bytes | None = None
    span: int = 0


_TEXTS = (FILENAME, FORMAT, DEFECT_TYPE)
_BYTES = (IMAGE, MASK)
_INTEGERS = (HEIGHT, WIDTH, CHANNELS, LABEL, SPAN)


def encode_image_example(record: ImageRecord) -> bytes:
    """Serialises a record; what is None or "" is left out. Equal records give equal bytes."""
    example = tf.train.Example()
    features = example.features.feature
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value is None or value == "":
            continue
        if field.name in _TEXTS:
            features[field.name].bytes_list.value.append(value.encode("utf-8"))
        elif field.name in _BYTES:
            features[field.name].bytes_list.value.append(value)
        elif field.name in _INTEGERS:
            features[field.name].int64_list.value.append(value)
        else:
            features[field.name].float_list.value.append(value)
    return example.SerializeToString(deterministic=True)


def decode_image_example(serialized: bytes) -> ImageRecord:
    """Parses one serialised Example without a graph.

    Raises:
        ValueError: it is no tf.Example, lacks something that every image has, or has something of another
            type.
    """
    features = parse_features(serialized)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(ImageRecord):
        kind = features[field.name].WhichOneof("kind") if field.name in features else None
        stored = getattr(features[field.name], kind).value if kind else []
        if len(stored) > 0:
            if kind != _kind(field.name):
                raise ValueError(f"the feature {field.name} must be a {_kind(field.name)}; it is a {kind}")
            values[field.name] = stored[0].decode("utf-8") if field.name in _TEXTS else stored[0]
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"this tf.Example is no image: the feature {field.name} is missing")
    return ImageRecord(**values)


def read_image_examples(split_uri: str) -> Iterator[ImageRecord]:
    """Reads a split as an ExampleGen writes it: all files are TFRecords, plain or gzipped.

    Files are read in the order of their names, so the order of the images is stable.

    Raises:
        UserError: a file cannot be read to its end, or a record is no image.
    """
    for path in sorted(tf.io.gfile.glob(f"{split_uri.rstrip('/')}/*")):
        for number, serialized in enumerate(read_tfrecords(path)):
            try:
                yield decode_image_example(serialized)
            except ValueError as error:
                raise UserError(f"{path}: record {number}: {error}") from error


def _kind(name: str) -> str:
    """Returns the kind of value that a feature has, as protobuf names it."""
    if name in (*_TEXTS, *_BYTES):
        return "bytes_list"
    return "int64_list" if name in _INTEGERS else "float_list"
