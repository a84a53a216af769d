"""The forward passes of a stage: the networks at its resolution and in its precision."""

import tensorflow as tf

from proganomaly.components.model.networks import Networks

ScoresAndLogits = tuple[tf.Tensor, tf.Tensor]


class Forward:
    """Calls the networks the way a stage does.

    Below, `alpha` is the weight of the newest layers, or None.

    Args:
        networks: The three networks.
        resolution: Side of the images in pixels.
        precision: What convolutions compute in.
    """

    def __init__(self, networks: Networks, resolution: int, precision: tf.DType) -> None:
        self._networks, self._resolution, self._precision = networks, resolution, precision

    def generate(self, codes: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
        """Returns G(codes), float32 [N, R, R, C]."""
        codes = tf.cast(codes, self._precision)
        return self._networks.generator(codes, resolution=self._resolution, alpha=alpha)

    def encode(self, images: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
        """Returns E(images), float32 [N, code_size]."""
        return self._networks.encoder(tf.cast(images, self._precision), alpha=alpha)

    def features(self, images: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
        """Returns D's 4x4 feature maps before its minibatch standard deviation."""
        return self._networks.discriminator.trunk(tf.cast(images, self._precision), alpha=alpha)

    def transform_logits(self, images: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
        """Returns what D's head takes images to be transformed by; see `Discriminator.transform_logits`."""
        return self._networks.discriminator.transform_logits(tf.cast(images, self._precision), alpha)

    def score(self, images: tf.Tensor, alpha: tf.Tensor | None, parts: int = 1) -> ScoresAndLogits:
        """Returns D's scores [N] and logits of labels; see `Discriminator.scores_and_logits`."""
        images = tf.cast(images, self._precision)
        return self._networks.discriminator.scores_and_logits(images, alpha, parts)

    def score_both(
        self, reals: tf.Tensor, fakes: tf.Tensor, alpha: tf.Tensor | None, concatenated: bool
    ) -> tuple[ScoresAndLogits, ScoresAndLogits]:
        """Returns `score` of reals and of fakes, in one pass where `concatenated`."""
        if not concatenated:
            return self.score(reals, alpha), self.score(fakes, alpha)
        scores, logits = self.score(tf.concat([reals, fakes], axis=0), alpha, parts=2)
        count = reals.shape[0]
        return (scores[:count], logits[:count]), (scores[count:], logits[count:])
