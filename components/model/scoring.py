"""How anomalous an image is: density of the networks' own features, and the pixel residual beside it.

Every function scores each image by itself: no batch statistics, so a score never depends on its neighbours.
"""

import tensorflow as tf


def patch_features(feature_maps: dict[int, tf.Tensor], resolutions: tuple[int, ...]) -> tf.Tensor:
    """Joins feature maps of several resolutions into one vector per location.

    Each map is averaged over 3x3 neighbourhoods and resized to the largest of the resolutions (Roth et al.
    2022, PatchCore, section 3.1).

    Args:
        feature_maps: float [N, R, R, D_R] by resolution R.
        resolutions: Which of them to join.

    Returns:
        float [N, max R, max R, sum of D_R].
    """
    side = max(resolutions)
    joined = []
    for resolution in sorted(resolutions):
        features = tf.nn.avg_pool2d(feature_maps[resolution], ksize=3, strides=1, padding="SAME")
        if resolution != side:
            features = tf.image.resize(features, [side, side], method="bilinear")
        joined.append(features)
    return tf.concat(joined, axis=-1)


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


def pixel_residual(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns mean |x - G(E(x))| over pixels and channels (Berg et al. 2019, section 3): float [N]."""
    return tf.reduce_mean(tf.abs(images - reconstructions), axis=[1, 2, 3])
