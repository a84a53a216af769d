"""How an image of any size becomes the square that the networks see, and its mask with it."""

import tensorflow as tf

from proganomaly.components.images.spec import TILES, ImageSpec


def fit_image(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Makes an image square by `spec.fit` and resizes it by area to `spec.resolution`.

    Every pixel of the result is the mean of the area that it covers, rounded half to even. Where the square's
    side is a multiple of the resolution that mean is exact: it equals a float64 box mean.

    Args:
        image: uint8 [height, width, channels], any size; with "tiles", a square of `spec.tile_side` or of the
            resolution: images are cut before, see `tiling`.
        spec: Resolution and fit.

    Returns:
        uint8 [resolution, resolution, channels].

    Raises:
        tf.errors.InvalidArgumentError: the fit is "tiles", and the image is none.
    """
    square = _make_square(image, spec)
    has_size = tf.reduce_all(tf.shape(square)[:2] == spec.resolution)
    resized = tf.cond(has_size, lambda: square, lambda: _resized(square, spec.resolution))
    return tf.ensure_shape(resized, [spec.resolution, spec.resolution, image.shape[2]])


def fit_mask(mask: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Takes a mask the way of its image, by nearest neighbour, so that its values stay what they are.

    Args:
        mask: uint8 [height, width, 1].
        spec: Resolution and fit.

    Returns:
        uint8 [resolution, resolution, 1]; what "pad" adds is 0.
    """
    square = _make_square(mask, spec)
    resized = tf.image.resize(square, [spec.resolution, spec.resolution], method="nearest")
    return tf.ensure_shape(resized, [spec.resolution, spec.resolution, 1])


def _make_square(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Crops or pads to a square; "stretch" leaves the image to the resize."""
    if spec.fit == "stretch":
        return image
    if spec.fit == TILES:
        return _checked_tile(image, spec)
    height, width = tf.unstack(tf.shape(image)[:2])
    if spec.fit == "crop":
        side = tf.minimum(height, width)
        return tf.image.crop_to_bounding_box(image, (height - side) // 2, (width - side) // 2, side, side)
    side = tf.maximum(height, width)
    return tf.image.pad_to_bounding_box(image, (side - height) // 2, (side - width) // 2, side, side)


def _checked_tile(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Returns a tile as it is, and refuses anything else: cropped or scaled, it would not be what it is."""
    height, width = tf.unstack(tf.shape(image)[:2])
    # At the resolution is what was scaled already: drawn defects, the levels of a pyramid.
    is_tile = (height == width) & ((width == spec.tile_side) | (width == spec.resolution))
    message = tf.strings.join(
        [
            "an image of ",
            tf.strings.as_string(width),
            " x ",
            tf.strings.as_string(height),
            f" pixels is no tile of {spec.tile_side} x {spec.tile_side}: the signature `tiles` takes "
            "images of any size",
        ]
    )
    with tf.control_dependencies([tf.debugging.Assert(is_tile, [message])]):
        return tf.identity(image)


def _resized(image: tf.Tensor, resolution: int) -> tf.Tensor:
    """Resizes by area, uint8 [resolution, resolution, channels]; see `fit_image`."""
    is_whole = tf.reduce_all(tf.shape(image)[:2] % resolution == 0)
    means = tf.cond(
        is_whole,
        lambda: _box_mean(image, resolution),
        lambda: tf.cast(tf.image.resize(image, [resolution, resolution], method="area"), tf.float64),
    )
    # tf.round rounds half to even, as NumPy does.
    return tf.cast(tf.clip_by_value(tf.round(means), 0.0, 255.0), tf.uint8)


def _box_mean(image: tf.Tensor, resolution: int) -> tf.Tensor:
    """Returns the mean of whole boxes, float64 [resolution, resolution, channels].

    Sums are integers and the one division is float64: a float32 mean would put some ties (2.5) beside
    themselves (2.5000002) and round them the wrong way.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    rows, columns = height // resolution, width // resolution
    boxes = tf.reshape(tf.cast(image, tf.int32), [resolution, rows, resolution, columns, channels])
    total = tf.reduce_sum(boxes, axis=[1, 3])
    return tf.cast(total, tf.float64) / tf.cast(rows * columns, tf.float64)
