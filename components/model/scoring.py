"""How anomalous an image is: density of the networks' own features, and the pixel residual beside it.

Every function scores each image by itself: no batch statistics, so a score never depends on its neighbours.
"""

import tensorflow as tf


def nearest_distances(vectors: tf.Tensor, references: tf.Tensor, neighbours: int) -> tf.Tensor:
    """Returns the mean Euclidean distance of each vector to its nearest references.

    Args:
        vectors: float [N, D].
        references: float [M, D].
        neighbours: How many to average; at most M are used.

    Returns:
        float [N], 0 and above.
    """
    squares = (
        tf.reduce_sum(tf.square(vectors), axis=1, keepdims=True)
        + tf.reduce_sum(tf.square(references), axis=1)
        - 2.0 * tf.matmul(vectors, references, transpose_b=True)
    )
    count = tf.minimum(neighbours, tf.shape(references)[0])
    nearest = -tf.math.top_k(-squares, k=count, sorted=False).values
    return tf.reduce_mean(tf.sqrt(tf.maximum(nearest, 0.0)), axis=1)


def smoothed(maps: tf.Tensor, side: int, sigma: float) -> tf.Tensor:
    """Resizes maps to `side` pixels and smooths them with a Gaussian.

    Args:
        maps: float [N, h, w].
        side: Height and width of the result in pixels.
        sigma: Standard deviation of the Gaussian in pixels; 0 for none.

    Returns:
        float [N, side, side].
    """
    maps = tf.image.resize(maps[..., None], [side, side], method="bilinear")
    if sigma > 0:
        radius = min(int(3 * sigma + 0.5), side - 1)
        offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
        kernel = tf.exp(-0.5 * tf.square(offsets / sigma))
        kernel /= tf.reduce_sum(kernel)
        maps = tf.pad(maps, [[0, 0], [radius, radius], [radius, radius], [0, 0]], mode="REFLECT")
        maps = tf.nn.conv2d(maps, kernel[:, None, None, None], strides=1, padding="VALID")
        maps = tf.nn.conv2d(maps, kernel[None, :, None, None], strides=1, padding="VALID")
    return maps[..., 0]


def top_share(maps: tf.Tensor, share: float = 0.01) -> tf.Tensor:
    """Returns the mean of the highest values of each map, float [N].

    Between max, which one noisy pixel decides, and mean, in which a small defect drowns.

    Args:
        maps: float [N, H, W].
        share: Share of the pixels that count, at least one.
    """
    values = tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2]])
    count = max(1, round(share * values.shape[1]))
    return tf.reduce_mean(tf.math.top_k(values, count, sorted=False).values, axis=1)


def pixel_residual(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns mean |x - G(E(x))| over pixels and channels (Berg et al. 2019, section 3): float [N]."""
    return tf.reduce_mean(tf.abs(images - reconstructions), axis=[1, 2, 3])
