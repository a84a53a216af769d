"""The terms of the losses, each a mean over the images of one replica: float32 scalars.

Sources: WGAN-GP from Gulrajani et al. 2017 with the drift term of Karras et al. 2018, appendix A.1; the
logistic loss from Goodfellow et al. 2014, section 3 (non-saturating), with R1 from Mescheder et al. 2018,
section 4.1; the label term from Odena et al. 2017 (AC-GAN); the encoder's terms from Berg et al. 2019,
section 3, and Schlegl et al. 2019 (f-AnoGAN: izi and izi_f).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

Critic = Callable[[tf.Tensor], tf.Tensor]


def discriminator_loss(
    real_scores: tf.Tensor, fake_scores: tf.Tensor, adversarial: str, weights: tf.Tensor | float = 1.0
) -> tf.Tensor:
    """Returns what the discriminator minimizes, without penalties.

    Args:
        real_scores: D(real), float [N].
        fake_scores: D(fake), float [N].
        adversarial: "wasserstein": mean(D(fake)) - mean(D(real)); "logistic": mean(softplus(D(fake))) +
            mean(softplus(-D(real))).
        weights: Weight of each real image, float [N] with the mean 1.
    """
    if adversarial == "logistic":
        return tf.reduce_mean(tf.nn.softplus(fake_scores)) + tf.reduce_mean(
            weights * tf.nn.softplus(-real_scores)
        )
    return tf.reduce_mean(fake_scores) - tf.reduce_mean(weights * real_scores)


def generator_loss(fake_scores: tf.Tensor, adversarial: str) -> tf.Tensor:
    """Returns -mean(D(fake)), or mean(softplus(-D(fake))) where the loss is "logistic"."""
    if adversarial == "logistic":
        return tf.reduce_mean(tf.nn.softplus(-fake_scores))
    return -tf.reduce_mean(fake_scores)


def drift(real_scores: tf.Tensor) -> tf.Tensor:
    """Returns mean(D(real)^2)."""
    return tf.reduce_mean(tf.square(real_scores))


def gradient_penalty(critic: Critic, images: tf.Tensor, target: float) -> tf.Tensor:
    """Returns mean((|grad D(images)| - target)^2) / target^2, images between real and fake."""
    squares = _squared_gradient_norms(critic, images)
    return tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - target)) / target**2


def r1_penalty(critic: Critic, reals: tf.Tensor) -> tf.Tensor:
    """Returns mean(|grad D(real)|^2) / 2."""
    return tf.reduce_mean(_squared_gradient_norms(critic, reals)) / 2


def label_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy of class numbers [N] and logits [N, classes]."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def transform_losses(choices: tf.Tensor, logits: tf.Tensor, counts: Sequence[int]) -> tf.Tensor:
    """Returns how badly each image's transformations are recognized: cross-entropy, summed over the kinds.

    Args:
        choices: Which transformation of each kind it was, int32 [N, kinds].
        logits: float [N, sum(counts)].
        counts: Transformations of each kind.

    Returns:
        float [N].
    """
    return tf.add_n(
        [
            tf.nn.sparse_softmax_cross_entropy_with_logits(choices[:, place], part)
            for place, part in enumerate(tf.split(logits, counts, axis=1))
        ]
    )


def latent_cycle(codes: tf.Tensor, recovered: tf.Tensor) -> tf.Tensor:
    """Returns mean (z - E(G(z)))^2 over generated images."""
    return tf.reduce_mean(tf.square(codes - recovered))


def image_cycle(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns mean |G(z) - G(E(G(z)))| over generated images."""
    return tf.reduce_mean(tf.abs(images - reconstructions))


def real_residual(values: tf.Tensor, reconstructed: tf.Tensor) -> tf.Tensor:
    """Returns mean (x - G(E(x)))^2 over real images, or the same of their features."""
    return tf.reduce_mean(tf.square(tf.cast(values, tf.float32) - tf.cast(reconstructed, tf.float32)))


def _squared_gradient_norms(critic: Critic, images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(critic(images))
    return tf.reduce_sum(tf.square(tape.gradient(total, images)), axis=[1, 2, 3])
