"""The three losses, each a mean over the images of one replica.

Sources: WGAN-GP from Gulrajani et al. 2017 with the drift term of Karras et al. 2018, appendix A.1; the
encoder's cycle loss from Berg et al. 2019, section 3.
"""

from collections.abc import Callable

import tensorflow as tf

from proganomaly.components.trainer.settings import LossSettings

Critic = Callable[[tf.Tensor], tf.Tensor]


def discriminator_loss(
    critic: Critic, reals: tf.Tensor, fakes: tf.Tensor, mixing: tf.Tensor, settings: LossSettings
) -> tf.Tensor:
    """Returns mean(D(fake)) - mean(D(real)) + gradient penalty + drift, a scalar.

    Args:
        critic: Images -> scores [N].
        reals: Real images, float [N, H, W, C].
        fakes: Generated images of the same shape.
        mixing: Where between real (0) and fake (1) the gradient is taken, float [N, 1, 1, 1].
        settings: The weights.
    """
    real_scores, fake_scores = critic(reals), critic(fakes)
    loss = tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores)
    loss += settings.drift * tf.reduce_mean(tf.square(real_scores))
    if settings.gradient_penalty:
        penalty = gradient_penalty(critic, reals + (fakes - reals) * mixing, settings.gradient_target)
        loss += settings.gradient_penalty * penalty
    return loss


def gradient_penalty(critic: Critic, images: tf.Tensor, target: float) -> tf.Tensor:
    """Returns mean((|grad D(images)| - target)^2) / target^2, a scalar."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(critic(images))
    gradients = tape.gradient(total, images)
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3]) + 1e-12)
    return tf.reduce_mean(tf.square(norms - target)) / target**2


def generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """Returns -mean(D(fake)), a scalar."""
    return -tf.reduce_mean(fake_scores)


def encoder_loss(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Returns mean |G(z) - G(E(G(z)))| over generated images, a scalar."""
    return tf.reduce_mean(tf.abs(images - reconstructions))
