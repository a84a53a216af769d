"""From encoded bytes to pixels: the one definition of an image.

Ingestion, the pyramid, training without TFX and the served model all decode here, eagerly or inside a graph,
so that what is measured is what is served.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import check_choice
from proganomaly.components.images.geometry import fit_image, fit_mask
from proganomaly.components.images.orientation import jpeg_orientation, make_upright, png_orientation
from proganomaly.components.images.spec import DECODABLE_CHANNELS, LARGEST_16_BIT, ImageSpec

# The first bytes of the formats that the serving graph can decode.
MAGIC_BYTES = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "bmp": b"BM",
    "gif": b"GIF8",
}
_GREY_WEIGHTS = (0.2989, 0.587, 0.114)
# As much of a file as says how it is to be decoded.
_HEAD_BYTES = 41
# What is read of the header of a BMP: as far as the kind of compression.
_BMP_HEADER_BYTES = 34


def image_format(image_bytes: bytes) -> str | None:
    """Returns "png", "jpeg", "bmp" or "gif" by the first bytes, None for anything else."""
    for name, magic in MAGIC_BYTES.items():
        if image_bytes.startswith(magic):
            return name
    return None


def decode_pixels(image_bytes: tf.Tensor, white_level: int = LARGEST_16_BIT) -> tf.Tensor:
    """Decodes a PNG, JPEG, BMP or GIF (its first frame), upright, with the channels that the file has.

    16 bits become 8 as round(255 v / white_level), half to even, at most 255. A PNG or JPEG is turned as its
    EXIF orientation asks for. CMYK becomes RGB.

    Args:
        image_bytes: string scalar.
        white_level: What is white in a 16-bit PNG, in [255, 65535].

    Returns:
        uint8 [height, width, channels]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no such image, or a damaged one.
    """
    image_bytes = tf.convert_to_tensor(image_bytes, tf.string)
    if tf.executing_eagerly():
        # The same choice as below, without the price of a choice in TensorFlow.
        head = image_bytes.numpy()[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
        decoder = next(decoder for pattern, decoder in _WAYS if _fits(head, pattern))
        return decoder(image_bytes, white_level)
    masks = np.array([[value is not None for value in pattern] for pattern, _ in _WAYS])
    values = np.array([[value or 0 for value in pattern] for pattern, _ in _WAYS], np.uint8)
    head = tf.strings.substr(image_bytes, 0, _HEAD_BYTES)
    numbers = tf.io.decode_raw(head, tf.uint8, fixed_length=_HEAD_BYTES)
    matches = tf.reduce_all((numbers == values) | ~masks, axis=1)
    way = tf.argmax(tf.cast(matches, tf.int8), output_type=tf.int32)
    branches = [functools.partial(decoder, image_bytes, white_level) for _, decoder in _WAYS]
    return tf.ensure_shape(tf.switch_case(way, branches), [None, None, None])


def decode_image(image_bytes: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decodes an image, gives it the channels of `spec` and makes it square at the full resolution.

    Args:
        image_bytes: string scalar.
        spec: What the image becomes.

    Returns:
        uint8 [resolution, resolution, channels].

    Raises:
        SettingsError: no image file has as many channels as `spec`.
        tf.errors.InvalidArgumentError: the bytes are no image that can be decoded.
    """
    return fit_image(decode_native(image_bytes, spec.channels, spec.white_level), spec)


def decode_native(image_bytes: tf.Tensor, channels: int, white_level: int = LARGEST_16_BIT) -> tf.Tensor:
    """Decodes an image at the size that it has, and gives it a number of channels.

    Alpha is dropped, or added as opaque, grey is repeated to RGB, and RGB becomes grey as the rounded
    0.2989 red + 0.587 green + 0.114 blue (ITU-R BT.601).

    Args:
        image_bytes: string scalar.
        channels: 1, 3 or 4.
        white_level: See `decode_pixels`.

    Returns:
        uint8 [height, width, channels].

    Raises:
        SettingsError: no image file has that many channels.
        tf.errors.InvalidArgumentError: the bytes are no image that can be decoded.
    """
    return _convert_channels(decode_pixels(image_bytes, white_level), channels)


def decode_images(image_bytes: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decodes a batch; see `decode_image`.

    Args:
        image_bytes: string [N].
        spec: What every image becomes.

    Returns:
        uint8 [N, resolution, resolution, channels].

    Raises:
        tf.errors.InvalidArgumentError: a row is no image; the message names the first such row.
    """
    image_bytes = checked_formats(image_bytes)
    shape = [spec.resolution, spec.resolution, spec.channels]
    return tf.map_fn(
        lambda row: decode_image(row, spec),
        image_bytes,
        fn_output_signature=tf.TensorSpec(shape, tf.uint8),
    )


def decode_mask(mask_bytes: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Decodes a defect mask and takes it the way of its image, by nearest neighbour.

    Args:
        mask_bytes: string scalar, an encoded image, not black where defective; alpha is ignored.
        spec: What the mask's image becomes.

    Returns:
        uint8 [resolution, resolution, 1], 1 where defective, else 0.
    """
    # So low a white keeps every value of a 16-bit mask that is not 0 from becoming 0.
    pixels = decode_pixels(mask_bytes, white_level=255)
    found = tf.shape(pixels)[2]
    colours = pixels[:, :, : tf.where(found >= 3, 3, 1)]
    mask = tf.cast(tf.reduce_any(colours > 0, axis=2, keepdims=True), tf.uint8)
    return fit_mask(mask, spec)


def checked_formats(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns encoded images, string [N], as they are.

    Raises:
        tf.errors.InvalidArgumentError: a row does not start as a known format does; the message names the
            first such row.
    """
    known = tf.zeros_like(image_bytes, tf.bool)
    for magic in MAGIC_BYTES.values():
        known |= _starts_with(image_bytes, magic)
    # Without a broken row the index is one past the end or 0: it is then not printed.
    row = tf.argmin(tf.cast(tf.concat([known, [False]], axis=0), tf.int32))
    message = tf.strings.join(
        ["image_bytes[", tf.strings.as_string(row), "] is not a PNG, JPEG, BMP or GIF image"]
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [message])]):
        return tf.identity(image_bytes)


# Ways that few files take are functions that stay whole: inside of a graph only what is taken costs anything.
_rare = functools.partial(tf.function, autograph=False, experimental_attributes={"_noinline": True})


def _decode_plain_png(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    return tf.io.decode_png(image_bytes)


@_rare
def _decode_png(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    return make_upright(tf.io.decode_png(image_bytes), png_orientation(image_bytes))


@_rare
def _decode_deep_png(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    # Every value's level is found once, in float64, where no tie of halves is missed.
    levels = np.rint(255.0 * np.arange(LARGEST_16_BIT + 1) / white_level).clip(max=255).astype(np.uint8)
    pixels = tf.gather(levels, tf.cast(tf.io.decode_png(image_bytes, dtype=tf.uint16), tf.int32))
    return make_upright(pixels, png_orientation(image_bytes))


def _decode_plain_jpeg(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    # The fast, inexact transform is up to 18 grey levels off at high quality; with the exact one the pixels
    # are those of other decoders.
    return tf.io.decode_jpeg(image_bytes, dct_method="INTEGER_ACCURATE")


@_rare
def _decode_jpeg(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    return make_upright(_decode_plain_jpeg(image_bytes, white_level), jpeg_orientation(image_bytes))


def _decode_other(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    return tf.io.decode_image(image_bytes, expand_animations=False)


@_rare
def _decode_bmp(image_bytes: tf.Tensor, white_level: int) -> tf.Tensor:
    """Decodes a BMP of 24 or 32 bits, or of 8 bits in grey, without compression.

    The op takes others too, and takes their indices into a palette for grey levels, or compressed data for
    pixels. The fourth byte of a pixel of 32 bits means nothing.
    """
    head = tf.strings.substr(image_bytes, 0, _BMP_HEADER_BYTES)
    shorts = tf.cast(
        tf.io.decode_raw(head, tf.uint16, little_endian=True, fixed_length=_BMP_HEADER_BYTES), tf.int32
    )
    data_at, header_size, bits = shorts[5] + 65536 * shorts[6], shorts[7], shorts[14]
    is_plain = (shorts[15] == 0) & (shorts[16] == 0) & (header_size >= 40)
    palette_at = 14 + header_size
    palette = tf.strings.substr(image_bytes, tf.minimum(palette_at, tf.strings.length(image_bytes)), 1024)
    colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8, fixed_length=1024), [256, 4])
    named = tf.range(256) < (data_at - palette_at) // 4
    is_ramp = colours[:, :3] == tf.cast(tf.range(256), tf.uint8)[:, None]
    is_grey = tf.reduce_all(is_ramp | ~named[:, None])
    is_known = is_plain & ((bits == 24) | (bits == 32) | ((bits == 8) & is_grey))
    message = "a BMP image with a palette of colours or with compression cannot be decoded; send a PNG"
    with tf.control_dependencies([tf.debugging.Assert(is_known, [message])]):
        pixels = tf.io.decode_bmp(image_bytes)
    return pixels[:, :, :3]


def _convert_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts uint8 [h, w, 1 to 4] to uint8 [h, w, channels] by the number of channels found."""
    check_choice("channels of a decoded image", channels, DECODABLE_CHANNELS)
    has_colour = tf.shape(pixels)[2] >= 3
    if channels == 4:
        # Behind what the file has, an opaque alpha is where an alpha is missing.
        opaque = tf.concat([pixels, tf.fill(tf.shape(pixels[:, :, :1]), tf.constant(255, tf.uint8))], axis=2)
        return tf.gather(opaque, tf.where(has_colour, [0, 1, 2, 3], [0, 0, 0, 1]), axis=2)
    if channels == 3:
        # A slice of all channels costs nothing, a gather as much as a third of decoding.
        colours = tf.cond(
            has_colour, lambda: pixels[:, :, :3], lambda: tf.repeat(pixels[:, :, :1], 3, axis=2)
        )
        return tf.ensure_shape(colours, [None, None, 3])
    grey = tf.cond(has_colour, lambda: _to_grey(pixels), lambda: pixels[:, :, :1])
    return tf.ensure_shape(grey, [None, None, 1])


def _to_grey(pixels: tf.Tensor) -> tf.Tensor:
    colours = tf.cast(pixels, tf.float32)
    grey = tf.add_n([weight * colours[:, :, i : i + 1] for i, weight in enumerate(_GREY_WEIGHTS)])
    return tf.cast(tf.round(grey), tf.uint8)


def _starts_with(image_bytes: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(image_bytes, 0, len(magic)) == magic


def _pattern(*pieces: tuple[int, bytes]) -> list[int | None]:
    """Returns what the first bytes of a file have to be, None for any; pieces are (position, bytes)."""
    pattern: list[int | None] = [None] * _HEAD_BYTES
    for position, values in pieces:
        pattern[position : position + len(values)] = values
    return pattern


def _fits(head: bytes, pattern: list[int | None]) -> bool:
    return all(value is None or value == found for value, found in zip(pattern, head, strict=True))


_PNG, _JPEG = (0, MAGIC_BYTES["png"]), (0, MAGIC_BYTES["jpeg"])
# The ways to decode; the first that fits is taken. Most files have nothing before the tables of their pixels
# where an orientation could be, which the first bytes tell: such files pay nothing for the search.
_WAYS: list[tuple[list[int | None], Callable[[tf.Tensor, int], tf.Tensor]]] = [
    (_pattern(_PNG, (24, b"\x08"), (37, b"IDAT")), _decode_plain_png),
    (_pattern(_JPEG, (3, b"\xe0\x00\x10"), (20, b"\xff\xdb")), _decode_plain_jpeg),
    (_pattern(_JPEG, (3, b"\xdb")), _decode_plain_jpeg),
    (_pattern(_PNG, (24, b"\x10")), _decode_deep_png),
    (_pattern(_PNG), _decode_png),
    (_pattern(_JPEG), _decode_jpeg),
    (_pattern((0, MAGIC_BYTES["bmp"])), _decode_bmp),
    (_pattern(), _decode_other),
]
