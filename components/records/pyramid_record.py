"""One image at one resolution as a TFRecord, in the format of the original progressive GAN's data sets.

Source: Karras et al. 2018, "Progressive Growing of GANs", `dataset_tool.py`: one uncompressed TFRecord file
per resolution; every record is a tf.Example with `shape` (int64[3]: channels, height, width) and `data` (the
raw uint8 pixels in that order). Data sets made elsewhere train here, and ours train there.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import RESOLUTIONS
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.tfrecord_file import FRAME_BYTES, read_tfrecords

_RECORD_SPEC = {
    "shape": tf.io.FixedLenFeature([3], tf.int64),
    "data": tf.io.FixedLenFeature([], tf.string),
}
_LENGTH_BYTES = 8
_LEVEL_FOLDER = re.compile(r"r(?P<level>\d\d)")
# Where the prefix is guessed, it ends with a separator, so that `car05-rxx.labels` is no level.
_LEVEL_FILE = r"(?P<prefix>{prefix})r(?P<level>\d\d)(?P<suffix>(?!\d).*)"
_ANY_PREFIX = r"(.*[^A-Za-z0-9])?"


def level_name(resolution: int) -> str:
    """Returns the level's name, "r" and the base-2 logarithm of its resolution: 64 is "r06"."""
    if resolution not in RESOLUTIONS:
        raise UserError(
            f"a pyramid's resolution must be a power of two from 4 to 1024; received {resolution}"
        )
    return f"r{resolution.bit_length() - 1:02d}"


def encode_pyramid_record(image: np.ndarray) -> bytes:
    """Serialises a uint8 image [height, width, channels] as one record; equal images give equal bytes."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(
            f"image must be uint8 [height, width, channels]; received {image.dtype} {image.shape}"
        )
    return encode_planes(np.ascontiguousarray(image.transpose(2, 0, 1)))


def encode_planes(planes: np.ndarray) -> bytes:
    """Serialises a uint8 image [channels, height, width] as one record; equal images give equal bytes."""
    example = tf.train.Example()
    example.features.feature["shape"].int64_list.value.extend(planes.shape)
    example.features.feature["data"].bytes_list.value.append(planes.tobytes())
    return example.SerializeToString(deterministic=True)


def parse_pyramid_records(serialized: tf.Tensor, resolution: int, channels: int) -> tf.Tensor:
    """Parses a batch of records of one level; made for `Dataset.batch(...).map(...)`.

    Args:
        serialized: string [N], records of one level.
        resolution: Side of the images in pixels.
        channels: Number of channels.

    Returns:
        uint8 [N, resolution, resolution, channels].

    Raises:
        tf.errors.InvalidArgumentError: when run, if a record is of another shape.
    """
    parsed = tf.io.parse_example(serialized, _RECORD_SPEC)
    expected = tf.constant([[channels, resolution, resolution]], tf.int64)
    message = f"a pyramid record's shape is not {channels} x {resolution} x {resolution}"
    with tf.control_dependencies([tf.debugging.assert_equal(parsed["shape"], expected, message)]):
        pixels = tf.io.decode_raw(parsed["data"], tf.uint8)
    planes = tf.reshape(pixels, [-1, channels, resolution, resolution])
    return tf.ensure_shape(
        tf.transpose(planes, [0, 2, 3, 1]), [serialized.shape[0], resolution, resolution, channels]
    )


def read_shape(serialized: bytes) -> tuple[int, int, int]:
    """Returns a record's (channels, height, width).

    Raises:
        UserError: it is no pyramid record, or its data has another size than its shape says.
    """
    channels, height, width = read_pixels(serialized).shape
    return channels, height, width


def read_pixels(serialized: bytes) -> np.ndarray:
    """Returns a record's pixels, uint8 [channels, height, width].

    Raises:
        UserError: it is no pyramid record, or its data has another size than its shape says.
    """
    shape, data = _shape_and_data(serialized)
    channels, height, width = shape
    if min(shape) < 1:
        raise UserError(f"a pyramid record's shape must be positive; received {shape}")
    if len(data) != channels * height * width:
        raise UserError(
            f"a pyramid record of shape {shape} must hold {channels * height * width} bytes of data; "
            f"it holds {len(data)}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_records(path: str) -> Iterator[bytes]:
    """Yields the serialised records of one uncompressed TFRecord file.

    Raises:
        DamagedRecords: the file cannot be read to its end.
    """
    return read_tfrecords(path, allow_gzip=False)


def check_records(paths: Sequence[str], resolution: int, channels: int) -> None:
    """Reads a level to its end.

    Raises:
        UserError: a file cannot be read to its end, or a record is not of that level.
    """
    for path in paths:
        for number, record in enumerate(read_records(path)):
            try:
                shape = read_shape(record)
            except UserError as error:
                raise UserError(f"{path}: record {number}: {error}") from error
            if shape != (channels, resolution, resolution):
                raise UserError(
                    f"{path}: record {number} must be of shape {(channels, resolution, resolution)}; "
                    f"received {shape}"
                )


def count_records(path: str) -> int:
    """Returns how many records a file of one level holds.

    All records of a level are equally long, so the file's size tells; where it does not, the file is read.

    Raises:
        UserError: the file is truncated or no TFRecord file.
    """
    size = tf.io.gfile.stat(path).length
    if size == 0:
        return 0
    with tf.io.gfile.GFile(path, "rb") as file:
        frame = int.from_bytes(file.read(_LENGTH_BYTES), "little") + FRAME_BYTES
    if size % frame == 0:
        return size // frame
    return sum(1 for _ in read_records(path))


def find_levels(folder: str, prefix: str | None = None, suffix: str | None = None) -> dict[int, list[str]]:
    """Finds a pyramid's files, by resolution from the smallest to the largest.

    Two layouts are known: `<folder>/rNN/*`, any number of files per level, and the original's single files
    `<folder>/<prefix>rNN<suffix>`, for example `bricks-r05.tfrecords`.

    Args:
        folder: Where the pyramid is.
        prefix: What stands before `rNN` in single files; guessed where only one is there.
        suffix: What stands behind `rNN` in single files; guessed where only one is there.

    Returns:
        Resolution in pixels -> the level's files, sorted. Every level holds the same number of images.

    Raises:
        UserError: nothing is found, the guess is ambiguous, a level in between is missing, a file is
            truncated, a record's shape disagrees with its level, or the levels differ in channels or in the
            number of images.
    """
    if not tf.io.gfile.isdir(folder):
        raise UserError(f"the pyramid folder {folder} does not exist")
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    levels = _level_folders(folder, names) if prefix is None and suffix is None else {}
    if not levels:
        levels = _level_files(folder, names, prefix, suffix)
    if not levels:
        wanted = f"{prefix or '<prefix>'}rNN{suffix or '<suffix>'}"
        raise UserError(
            f"{folder} holds no pyramid: neither folders rNN with TFRecord files nor files {wanted}"
        )
    levels = dict(sorted(levels.items()))
    _check_levels(folder, levels)
    return levels


def single_file_prefix(folder: str, levels: dict[int, list[str]], prefix: str | None = None) -> str | None:
    """Returns the path up to the levels' names in the original's layout, None where levels are folders.

    Args:
        folder: Where the pyramid is.
        levels: What `find_levels` returned for it.
        prefix: What `find_levels` was given.
    """
    path = levels[min(levels)][0]
    before, _, name = path.rpartition("/")
    if before != folder.rstrip("/"):
        return None
    match = _level_pattern(prefix).fullmatch(name)
    assert match is not None, f"find_levels returned {path}"
    return f"{before}/{match['prefix']}"


def fingerprint(levels: dict[int, list[str]]) -> str:
    """Returns a hash of the pyramid's content, independent of the order and the sharding of its records.

    It covers the number of images and every image at the smallest resolution.

    Args:
        levels: What `find_levels` returned.
    """
    # A sum of hashes is the same in any order and, unlike an exclusive or, sees an image that comes twice.
    total = count = 0
    for path in levels[min(levels)]:
        for record in read_records(path):
            shape, data = _shape_and_data(record)
            digest = hashlib.sha256(repr(shape).encode() + data).digest()
            total += int.from_bytes(digest, "big")
            count += 1
    return hashlib.sha256(f"{count}:{total}".encode()).hexdigest()


def _shape_and_data(serialized: bytes) -> tuple[tuple[int, ...], bytes]:
    """Returns the two features of a record."""
    try:
        features = parse_features(serialized)
    except ValueError as error:
        raise UserError(f"a record cannot be used: {error}") from error
    shape = tuple(features["shape"].int64_list.value)
    data = features["data"].bytes_list.value
    if len(shape) != 3 or len(data) != 1:
        raise UserError(
            f"a pyramid record needs `shape` (3 integers) and `data`; received {sorted(features)}"
        )
    return shape, data[0]


def _level_folders(folder: str, names: Sequence[str]) -> dict[int, list[str]]:
    """Finds the layout `<folder>/rNN/*`."""
    levels = {}
    for name in names:
        match = _LEVEL_FOLDER.fullmatch(name)
        path = f"{folder.rstrip('/')}/{name}"
        if match and tf.io.gfile.isdir(path):
            files = sorted(f"{path}/{file}" for file in tf.io.gfile.listdir(path) if file[0] not in "._")
            levels[_resolution(match, path)] = [file for file in files if not tf.io.gfile.isdir(file)]
    return levels


def _level_files(
    folder: str, names: Sequence[str], prefix: str | None, suffix: str | None
) -> dict[int, list[str]]:
    """Finds the layout `<folder>/<prefix>rNN<suffix>`."""
    pattern = _level_pattern(prefix)
    families: dict[tuple[str, str], dict[int, list[str]]] = {}
    for name in names:
        match = pattern.fullmatch(name)
        path = f"{folder.rstrip('/')}/{name}"
        if not match or tf.io.gfile.isdir(path):
            continue
        if suffix in (None, match["suffix"]):
            family = families.setdefault((match["prefix"], match["suffix"]), {})
            family[_resolution(match, path)] = [path]
    if len(families) > 1:
        found = ", ".join(f"{before}rNN{behind}" for before, behind in sorted(families))
        raise UserError(f"{folder} holds several pyramids ({found}); name one by its prefix and suffix")
    return next(iter(families.values()), {})


def _level_pattern(prefix: str | None) -> re.Pattern[str]:
    """Returns what a single file's name is like, with a prefix that is known or to be guessed."""
    return re.compile(_LEVEL_FILE.format(prefix=_ANY_PREFIX if prefix is None else re.escape(prefix)))


def _resolution(match: re.Match[str], path: str) -> int:
    """Returns the resolution of a level by its name."""
    resolution = 2 ** int(match["level"])
    if resolution not in RESOLUTIONS:
        raise UserError(f"pyramid levels go from r02 (4 pixels) to r10 (1024 pixels); received {path}")
    return resolution


def _check_levels(folder: str, levels: dict[int, list[str]]) -> None:
    """Raises UserError unless the levels belong together; see `find_levels`."""
    smallest, largest = min(levels), max(levels)
    missing = [level_name(r) for r in RESOLUTIONS if smallest < r < largest and r not in levels]
    if missing:
        raise UserError(f"{folder} lacks the pyramid levels {', '.join(missing)}")
    channels, images = {}, {}
    for resolution, files in levels.items():
        counts = {path: count_records(path) for path in files}
        images[resolution] = sum(counts.values())
        for path in (path for path, count in counts.items() if count):
            channels[path] = _check_first_record(path, resolution)
    if 0 in images.values() or len(set(images.values())) > 1:
        counted = ", ".join(f"{level_name(r)}: {count}" for r, count in images.items())
        raise UserError(
            f"{folder}: every pyramid level must hold the same images, at least one; found {counted}"
        )
    if len(set(channels.values())) > 1:
        raise UserError(f"{folder}: all records must have the same number of channels; found {channels}")


def _check_first_record(path: str, resolution: int) -> int:
    """Raises UserError unless the file's first record is of its level; returns its number of channels."""
    try:
        shape = read_shape(next(read_records(path)))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if shape[1:] != (resolution, resolution):
        raise UserError(
            f"{path}: records of level {level_name(resolution)} must be {resolution} x {resolution}; "
            f"received shape {shape}"
        )
    return shape[0]
