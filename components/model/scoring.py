"""How anomalous an image is by density, by its map, and by what the networks say of it.

Every function scores each image by itself: no batch statistics, so a score never depends on its neighbours.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from proganomaly.components.model.transforms import transform_counts, transformed


def nearest_distances(vectors: tf.Tensor, references: tf.Tensor, neighbours: int) -> tf.Tensor:
    """Returns the mean Euclidean distance of each vector to its nearest references.

    Args:
        vectors: float [N, D], around 0 for the sake of float32, as the references.
        references: float [M, D].
        neighbours: How many to average; at most M are used.

    Returns:
        float [N], 0 and above.
    """
    nearness = 2.0 * tf.matmul(vectors, references, transpose_b=True) - tf.reduce_sum(
        tf.square(references), axis=1
    )
    count = tf.minimum(neighbours, tf.shape(references)[0])
    nearest = tf.gather(references, tf.math.top_k(nearness, k=count, sorted=False).indices)
    # Measured anew: a small distance is a difference of large squares above, which rounds otherwise in a
    # batch of another size.
    return tf.reduce_mean(tf.norm(vectors[:, None] - nearest, axis=2), axis=1)


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


def latent_norm(latents: tf.Tensor, usual: float, spread: float) -> tf.Tensor:
    """Returns by how many spreads the length of each latent differs from the usual one, float [N].

    Berg et al. 2019, section 3, take the norm of E(x) itself as a cue, one-sided; on three classes of
    Fashion-MNIST its sign was not stable.

    Args:
        latents: E(x), float [N, latent_size].
        usual: Median length of the latents of normal images.
        spread: Typical deviation from it, above 0.
    """
    return tf.abs(tf.norm(latents, axis=1) - usual) / spread


def transform_prediction(
    images: tf.Tensor, kinds: Sequence[str], logits_of: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Returns how badly a network recognizes what was done to each image, float [N], 0 and above.

    The mean over all transformations of -log p(the right one). Source: Golan and El-Yaniv 2018, "Deep anomaly
    detection using geometric transformations", section 4.2, without their Dirichlet distribution and with one
    kind of transformation at a time.

    Args:
        images: float [N, R, R, C].
        kinds: What the head was trained on; see `transforms`.
        logits_of: Images to logits [N, T] of all kinds, behind each other.
    """
    counts = transform_counts(kinds)
    untouched = [0] * len(kinds)
    choices = [untouched]
    for place, count in enumerate(counts):
        choices += [[*untouched[:place], choice, *untouched[place + 1 :]] for choice in range(1, count)]

    def log_probability(choice: tf.Tensor) -> tf.Tensor:
        every = tf.tile(choice[None], [tf.shape(images)[0], 1])
        logits = tf.split(logits_of(transformed(images, kinds, every)), counts, axis=1)
        return tf.add_n(
            [
                tf.gather(tf.nn.log_softmax(logits[place]), choice[place], axis=1)
                for place in range(len(kinds))
            ]
        )

    # One after another in one small graph rather than beside each other in a large one.
    logs = tf.map_fn(log_probability, tf.constant(choices, tf.int32), fn_output_signature=images.dtype)
    return -tf.reduce_mean(logs, axis=0)
