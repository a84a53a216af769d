"""From encoded bytes to pixels: the one definition of an image.

Ingestion, the pyramid, training without TFX and the served model all decode here, eagerly or inside a graph,
so that what is measured is what is served.
"""

import tensorflow as tf

from proganomaly.components.errors import check_choice
from proganomaly.components.images.geometry import fit_image, fit_mask
from proganomaly.components.images.spec import DECODABLE_CHANNELS, ImageSpec

# The first bytes of the formats that the serving graph can decode.
MAGIC_BYTES = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "bmp": b"BM",
    "gif": b"GIF8",
}
_GREY_WEIGHTS = (0.2989, 0.587, 0.114)


def image_format(image_bytes: bytes) -> str | None:
    """Returns "png", "jpeg", "bmp" or "gif" by the first bytes, None for anything else."""
    for name, magic in MAGIC_BYTES.items():
        if image_bytes.startswith(magic):
            return name
    return None


def decode_pixels(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG, JPEG, BMP or GIF (its first frame) with the channels that the file has.

    Args:
        image_bytes: string scalar.

    Returns:
        uint8 [height, width, channels]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. 16 bits become 8.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no such image, or a damaged one.
    """
    # The general decoder takes JPEG's fast, inexact transform, up to 18 grey levels off at high quality; with
    # the exact one the pixels are those of other decoders.
    pixels = tf.cond(
        _starts_with(image_bytes, MAGIC_BYTES["jpeg"]),
        lambda: tf.io.decode_jpeg(image_bytes, channels=0, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image_bytes, channels=0, expand_animations=False),
    )
    return tf.ensure_shape(pixels, [None, None, None])


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
    return fit_image(decode_native(image_bytes, spec.channels), spec)


def decode_native(image_bytes: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image at the size that it has, and gives it a number of channels.

    Alpha is dropped, or added as opaque, grey is repeated to RGB, and RGB becomes grey as the rounded
    0.2989 red + 0.587 green + 0.114 blue (ITU-R BT.601).

    Args:
        image_bytes: string scalar.
        channels: 1, 3 or 4.

    Returns:
        uint8 [height, width, channels].

    Raises:
        SettingsError: no image file has that many channels.
        tf.errors.InvalidArgumentError: the bytes are no image that can be decoded.
    """
    return _convert_channels(decode_pixels(image_bytes), channels)


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
    pixels = decode_pixels(mask_bytes)
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


def _convert_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts uint8 [h, w, 1 to 4] to uint8 [h, w, channels] by the number of channels found."""
    check_choice("channels of a decoded image", channels, DECODABLE_CHANNELS)
    has_colour = tf.shape(pixels)[2] >= 3
    if channels == 4:
        # Behind what the file has, an opaque alpha is where an alpha is missing.
        opaque = tf.concat([pixels, tf.fill(tf.shape(pixels[:, :, :1]), tf.constant(255, tf.uint8))], axis=2)
        return tf.gather(opaque, tf.where(has_colour, [0, 1, 2, 3], [0, 0, 0, 1]), axis=2)
    if channels == 3:
        return tf.gather(pixels, tf.where(has_colour, [0, 1, 2], [0, 0, 0]), axis=2)
    grey = tf.cond(has_colour, lambda: _to_grey(pixels), lambda: pixels[:, :, :1])
    return tf.ensure_shape(grey, [None, None, 1])


def _to_grey(pixels: tf.Tensor) -> tf.Tensor:
    colours = tf.cast(pixels, tf.float32)
    grey = tf.add_n([weight * colours[:, :, i : i + 1] for i, weight in enumerate(_GREY_WEIGHTS)])
    return tf.cast(tf.round(grey), tf.uint8)


def _starts_with(image_bytes: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(image_bytes, 0, len(magic)) == magic
