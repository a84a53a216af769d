"""Cuts an image of any size into overlapping square tiles, and joins what was said of each into one map.

Ingestion cuts the images that a model learns from, and serving those that it scores, by the same grid.

The grid is a product of rows and columns: tile (i, j) begins at `starts(height)[i]`, `starts(width)[j]`,
and tiles are numbered row by row. An image that is smaller than a tile is mirrored to its size. Everything
is made of tensors, so that one graph takes images of any size.
"""

import re

import tensorflow as tf

# What `tile_name` adds.
_TILE = re.compile(r"#\d+,\d+$")


def starts(length: tf.Tensor, side: int, overlap: float) -> tf.Tensor:
    """Returns where tiles begin along one direction, ascending, so that they cover it.

    Args:
        length: int32 scalar, pixels of the image in that direction.
        side: Pixels of a tile.
        overlap: Share of a tile that its successor covers too, in [0, 1); the last tile ends where the image
            does and may overlap more.

    Returns:
        int32 [n], n at least 1; 0 alone where the image is not longer than a tile.
    """
    stride = max(1, side - round(overlap * side))
    last = tf.maximum(length - side, 0)
    count = (last + stride - 1) // stride + 1
    return tf.minimum(tf.range(count) * stride, last)


def tile_corners(height: tf.Tensor, width: tf.Tensor, side: int, overlap: float) -> tf.Tensor:
    """Returns top and left of every tile, int32 [T, 2], row by row; see `starts`."""
    tops, lefts = starts(height, side, overlap), starts(width, side, overlap)
    rows, columns = tf.meshgrid(tops, lefts, indexing="ij")
    return tf.stack([tf.reshape(rows, [-1]), tf.reshape(columns, [-1])], axis=1)


def tile_name(name: str, top: int, left: int) -> str:
    """Returns the name of an image's tile by its upper left corner, in pixels: "part.png#96,0"."""
    return f"{name}#{top},{left}"


def source_name(name: str) -> str:
    """Returns the name of the image that a tile was cut from; that of anything else is as it is."""
    return _TILE.sub("", name)


def mirrored_to(image: tf.Tensor, side: int) -> tf.Tensor:
    """Mirrors an image at its lower and right edge until it is a tile high and wide.

    Args:
        image: [H, W, C], not empty.
        side: Pixels of a tile.

    Returns:
        [max(H, side), max(W, side), C]; the image itself is at the upper left.
    """
    for axis in (0, 1):
        length = tf.shape(image)[axis]
        # 0 1 2 1 0 1 2 ...: the edge pixel is not doubled. A single pixel is repeated.
        period = tf.maximum(2 * (length - 1), 1)
        position = tf.range(tf.maximum(length, side)) % period
        image = tf.gather(image, tf.minimum(position, period - position), axis=axis)
    return image


def cut(image: tf.Tensor, corners: tf.Tensor, side: int) -> tf.Tensor:
    """Cuts tiles out of an image that is at least a tile high and wide.

    Args:
        image: [H, W, C].
        corners: int32 [T, 2]; see `tile_corners`.
        side: Pixels of a tile.

    Returns:
        [T, side, side, C], of the image's type.
    """
    channels = image.shape[2]
    return tf.map_fn(
        lambda corner: tf.slice(image, [corner[0], corner[1], 0], [side, side, channels]),
        corners,
        fn_output_signature=tf.TensorSpec([side, side, channels], image.dtype),
    )


def stitch(maps: tf.Tensor, height: tf.Tensor, width: tf.Tensor, overlap: float) -> tf.Tensor:
    """Joins the maps of an image's tiles: the mean where they overlap, weighted by a triangular window.

    A tile counts most in its middle and next to nothing at its border, where the networks saw padding
    rather than the image; the weights of all tiles at a pixel add up to 1. From one tile to the next this is
    a linear cross-fade, without seams, and what a single tile covers stays as it is.

    Args:
        maps: float [T, side, side], in the order of `tile_corners`.
        height: int32 scalar, the image's; likewise `width`.
        width: See `height`.
        overlap: See `starts`.

    Returns:
        float [height, width]; what a small image was mirrored to is cut off.
    """
    side = maps.shape[1]
    tops, lefts = starts(height, side, overlap), starts(width, side, overlap)
    rows, columns = tf.shape(tops)[0], tf.shape(lefts)[0]
    # Window and grid are products of both directions: first rows of tiles become strips, then strips the map.
    # The direction to join comes first.
    by_column = tf.transpose(tf.reshape(maps, [rows, columns, side, side]), [1, 3, 0, 2])
    strips = _join(tf.reshape(by_column, [columns, side, rows * side]), lefts, tf.maximum(width, side))
    by_row = tf.transpose(tf.reshape(strips, [-1, rows, side]), [1, 2, 0])
    joined = _join(by_row, tops, tf.maximum(height, side))
    return joined[:height, :width]


def _join(pieces: tf.Tensor, begins: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Joins pieces [n, side, D] that begin at `begins` [n] into [length, D], by normalized weights."""
    side = pieces.shape[1]
    offsets = tf.range(side)
    places = tf.reshape(begins[:, None] + offsets, [-1])
    window = tf.cast(tf.minimum(offsets + 1, side - offsets), pieces.dtype)
    weights = tf.tile(window, tf.shape(begins))
    weights /= tf.gather(tf.math.unsorted_segment_sum(weights, places, length), places)
    weighted = tf.reshape(pieces, [-1, tf.shape(pieces)[2]]) * weights[:, None]
    return tf.math.unsorted_segment_sum(weighted, places, length)
