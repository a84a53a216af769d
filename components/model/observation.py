"""What the three networks make of a batch of images."""

from functools import cached_property

import tensorflow as tf

from proganomaly.components.model.networks import BASE_RESOLUTION, Encoder, Networks

# What features of whole images the densities are those of.
FEATURES = {
    "encoder_density": "encoder_features",
    "discriminator_density": "discriminator_features",
    "transform_density": "transform_features",
    "untrained_density": "untrained_features",
}


class Observation:
    """Everything that a score can be made of; each part is computed once, when it is first asked for.

    Args:
        networks: The trained networks, channels last.
        images: float [N, R, R, C] in [-1, 1].
        untrained: An encoder with random weights, where its features are asked for.
    """

    def __init__(self, networks: Networks, images: tf.Tensor, untrained: Encoder | None = None) -> None:
        self._networks, self.images, self._untrained = networks, images, untrained

    @cached_property
    def discriminator_maps(self) -> dict[int, tf.Tensor]:
        """Feature maps by resolution, float [N, R, R, D]; the one of 4 pixels is the trunk's output."""
        return self._networks.discriminator.trunk.feature_maps(self.images)

    @cached_property
    def encoder_maps(self) -> dict[int, tf.Tensor]:
        """The encoder's, alike."""
        return self._networks.encoder.trunk.feature_maps(self.images)

    def map(self, network: str, resolution: int) -> tf.Tensor:
        """Returns that feature map of "discriminator" or "encoder", float [N, R, R, D]."""
        maps = self.discriminator_maps if network == "discriminator" else self.encoder_maps
        return maps[resolution]

    def features(self, density: str) -> tf.Tensor:
        """Returns the features that the score component of this name is the density of, float [N, F]."""
        return getattr(self, FEATURES[density])

    @cached_property
    def discriminator_features(self) -> tf.Tensor:
        """The discriminator's last maps before it compares the images of a batch, float [N, 16 D]."""
        return _flattened(self.discriminator_maps[BASE_RESOLUTION])

    @cached_property
    def encoder_features(self) -> tf.Tensor:
        """The encoder's activations before its last layer, float [N, F]."""
        return self._networks.encoder.features_of(self.encoder_maps[BASE_RESOLUTION])

    @cached_property
    def transform_features(self) -> tf.Tensor:
        """The activations before the head that recognizes transformations, float [N, F]."""
        return self._networks.discriminator.transform_features_of(self.discriminator_maps[BASE_RESOLUTION])

    @cached_property
    def untrained_features(self) -> tf.Tensor:
        """The activations before the last layer of an encoder with random weights, float [N, F].

        What filters that never learned anything make of an image tells images apart nearly as well as learned
        features, and where those do not (Saxe et al. 2011, "On random weights and unsupervised feature
        learning").
        """
        assert self._untrained is not None, "made without an untrained encoder"
        return self._untrained.features(self.images)

    @cached_property
    def codes(self) -> tf.Tensor:
        """E(x), float [N, code_size]."""
        return self._networks.encoder.latent(self.encoder_features)

    @property
    def latents(self) -> tf.Tensor:
        """E(x) without the labels that may stand behind it, float [N, latent_size]."""
        return self.codes[:, : self._networks.generator.latent_size]

    @cached_property
    def reconstructions(self) -> tf.Tensor:
        """G(E(x)), float [N, R, R, C]."""
        return self._networks.generator(self.codes)

    @cached_property
    def reconstructed_features(self) -> tf.Tensor:
        """The discriminator's features of the reconstructions, float [N, 16 D]."""
        return _flattened(self._networks.discriminator.trunk(self.reconstructions))

    @property
    def minibatch_statistic(self) -> tf.Tensor:
        """What the discriminator's minibatch layer says of this batch, a scalar."""
        return self._networks.discriminator.statistic_of(self.discriminator_maps[BASE_RESOLUTION])

    def criticism(self, statistic: tf.Tensor) -> tf.Tensor:
        """Returns D(x) with that statistic for every image, float [N]."""
        return self._networks.discriminator.score_of(self.discriminator_maps[BASE_RESOLUTION], statistic)


def views(images: tf.Tensor, flips: bool) -> list[tf.Tensor]:
    """Returns the images, and their mirror images where asked for."""
    return [images, images[:, :, ::-1]] if flips else [images]


def _flattened(maps: tf.Tensor) -> tf.Tensor:
    return tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2] * maps.shape[3]])
