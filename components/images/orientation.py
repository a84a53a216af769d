"""The orientation that a camera writes beside the pixels (EXIF), read and applied inside a graph.

A phone stores the picture as its sensor lies and notes how to turn it. What is ingested, trained on and
served has to be turned alike, so this is a part of decoding. Sources: CIPA DC-008 (Exif), TIFF 6.0 section 2,
PNG third edition (eXIf).
"""

import numpy as np
import tensorflow as tf

UPRIGHT = 1
# The values 1 to 8, and what makes each of them upright: the axes change places first, then rows, columns or
# both are reversed.
TRANSPOSED = (5, 6, 7, 8)
ROWS_REVERSED = (3, 4, 7, 8)
COLUMNS_REVERSED = (2, 3, 6, 7)

# Exif stands in one of the first segments; more than these are not looked at, whatever a file says.
_MOST_SEGMENTS = 64
# A directory has about 10 entries; one with more than these is broken.
_MOST_ENTRIES = 512
_ENTRY_BYTES = 12
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_JPEG_APP1, _JPEG_EXIF = 0xFFE1, (0x4578, 0x6966, 0)  # "Exif\0\0"
_PNG_DATA, _PNG_EXIF = 0x49444154, 0x65584966  # "IDAT", "eXIf"


def jpeg_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a JPEG, int32 from 1 to 8.

    The segments of applications (APPn) and comments that a JPEG begins with are walked through; the first
    Exif segment counts, and only its first directory. Whatever is missing or broken makes the image upright.

    Args:
        image_bytes: string scalar, the file.
    """
    size = tf.strings.length(image_bytes)

    def read(position: tf.Tensor) -> tf.Tensor:
        """Returns marker, length and the three words after them."""
        piece = tf.strings.substr(image_bytes, tf.minimum(position, size), 10)
        return tf.cast(tf.io.decode_raw(piece, tf.uint16, little_endian=False, fixed_length=10), tf.int32)

    def is_exif(words: tf.Tensor) -> tf.Tensor:
        return (words[0] == _JPEG_APP1) & tf.reduce_all(words[2:] == _JPEG_EXIF)

    def goes_on(_: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        skipped = (words[0] & 0xFFF0 == 0xFFE0) | (words[0] == 0xFFFE)
        return skipped & ~is_exif(words)

    def step(position: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = position + 2 + words[1]
        return position, read(position)

    start = tf.constant(2)
    position, words = tf.while_loop(
        goes_on, step, [start, read(start)], maximum_iterations=_MOST_SEGMENTS, parallel_iterations=1
    )
    return tf.cond(
        is_exif(words),
        lambda: _tiff_orientation(tf.strings.substr(image_bytes, position + 10, words[1] - 8)),
        lambda: tf.constant(UPRIGHT),
    )


def png_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a PNG, int32 from 1 to 8, by an eXIf chunk before its pixels.

    Args:
        image_bytes: string scalar, the file.
    """
    size = tf.strings.length(image_bytes)

    def read(position: tf.Tensor) -> tf.Tensor:
        """Returns length and type of a chunk."""
        piece = tf.strings.substr(image_bytes, position, 8)
        return tf.io.decode_raw(piece, tf.int32, little_endian=False, fixed_length=8)

    def goes_on(position: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
        return (chunk[1] != _PNG_DATA) & (chunk[1] != _PNG_EXIF) & (position < size)

    def step(position: tf.Tensor, chunk: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A length below 0 or beyond the file ends the walk.
        room = size - position
        advance = tf.where((chunk[0] >= 0) & (chunk[0] < room), chunk[0] + 12, room)
        position = tf.minimum(position + advance, size)
        return position, read(position)

    # The header's chunk has a fixed size.
    start = tf.minimum(33, size)
    position, chunk = tf.while_loop(
        goes_on, step, [start, read(start)], maximum_iterations=_MOST_SEGMENTS, parallel_iterations=1
    )
    return tf.cond(
        (chunk[1] == _PNG_EXIF) & (chunk[0] > 0),
        lambda: _tiff_orientation(tf.strings.substr(image_bytes, position + 8, chunk[0])),
        lambda: tf.constant(UPRIGHT),
    )


def make_upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns pixels, [height, width, channels], as their orientation asks for."""

    def turn() -> tf.Tensor:
        turned = tf.cond(
            _is_in(orientation, TRANSPOSED), lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels
        )
        axes = tf.stack([_is_in(orientation, ROWS_REVERSED), _is_in(orientation, COLUMNS_REVERSED), False])
        return tf.raw_ops.Reverse(tensor=turned, dims=axes)

    return tf.cond(orientation == UPRIGHT, lambda: pixels, turn)


def make_array_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Does as `make_upright` outside a graph."""
    if orientation in TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in ROWS_REVERSED:
        pixels = pixels[::-1]
    if orientation in COLUMNS_REVERSED:
        pixels = pixels[:, ::-1]
    return pixels


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of Exif data, a string scalar laid out as a TIFF."""
    size = tf.strings.length(exif)
    start = tf.strings.substr(exif, 0, 4)
    is_big, is_little = start == b"MM\0*", start == b"II*\0"

    def read(position: tf.Tensor, length: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Returns numbers, int32 [length / size of dtype]; what lies beyond the data is 0."""
        piece = tf.strings.substr(exif, tf.clip_by_value(position, 0, size), length)
        big, little = (
            tf.io.decode_raw(piece, dtype, little_endian=order, fixed_length=length)
            for order in (False, True)
        )
        return tf.cast(tf.where(is_big, big, little), tf.int32)

    directory = read(tf.constant(4), 4, tf.int32)[0]
    # No sum below may overflow.
    directory = tf.where((directory >= 8) & (directory < size), directory, size)
    room = (size - directory - 2) // _ENTRY_BYTES
    count = tf.clip_by_value(tf.minimum(read(directory, 2, tf.uint16)[0], room), 0, _MOST_ENTRIES)
    words = tf.reshape(read(directory + 2, _MOST_ENTRIES * _ENTRY_BYTES, tf.uint16), [_MOST_ENTRIES, 6])[
        :count
    ]
    is_orientation = (words[:, 0] == _ORIENTATION_TAG) & (words[:, 1] == _SHORT)
    value = tf.reduce_max(tf.where(is_orientation, words[:, 4], 0))
    is_valid = (is_big | is_little) & (value >= 1) & (value <= 8)
    return tf.where(is_valid, value, UPRIGHT)


def _is_in(orientation: tf.Tensor, values: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(orientation == tf.constant(values))
