"""What the discriminator's transformation head learns: how a real image was transformed."""

from collections.abc import Sequence

import tensorflow as tf

from proganomaly.components.model.transforms import transform_counts, transformed
from proganomaly.components.trainer import losses
from proganomaly.components.trainer.forward import Forward


class Recognition:
    """The task of one run.

    Args:
        forward: How the networks are called.
        kinds: Kinds of transformations that the head knows; none without a head.
    """

    def __init__(self, forward: Forward, kinds: Sequence[str]) -> None:
        self._forward, self._kinds, self._counts = forward, kinds, transform_counts(kinds)

    @property
    def kinds(self) -> int:
        """How many kinds of transformations there are; 0 without the head."""
        return len(self._kinds)

    def choices(self, uniform: tf.Tensor) -> tf.Tensor:
        """Turns numbers in [0, 1), float [N, kinds], into transformations, int32 [N, kinds]."""
        return tf.cast(uniform * tf.constant(self._counts, tf.float32), tf.int32)

    def image_losses(self, images: tf.Tensor, choices: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
        """Returns how badly each image's transformations are recognized, float [N]; see `losses`.

        Args:
            images: Real images, float [N, R, R, C].
            choices: How they are transformed first, int32 [N, kinds].
            alpha: Weight of the newest layers, or None.
        """
        logits = self._forward.transform_logits(transformed(images, self._kinds, choices), alpha)
        return losses.transform_losses(choices, logits, self._counts)


def unsuspicious(image_losses: tf.Tensor, share: float) -> tf.Tensor:
    """Returns weights of the images, float [N] with the mean 1: 0 for those of the highest losses.

    An anomaly among the normal images is recognized late, as the others teach nothing about it: the trick of
    small losses (Han et al. 2018, "Co-teaching", section 3).

    Args:
        image_losses: float [N], N static.
        share: Share of the batch that weighs nothing, rounded to whole images; at least one image counts.
    """
    count = image_losses.shape[0]
    kept = max(count - round(share * count), 1)
    places = tf.argsort(tf.argsort(tf.stop_gradient(image_losses)))
    return tf.cast(places < kept, tf.float32) * (count / kept)
