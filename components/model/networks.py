"""Generator, discriminator and encoder that grow together (Karras et al. 2018, Berg et al. 2019).

All layers of the final resolution exist from the start. A call runs the part that the current resolution
needs: the generator is told the resolution, discriminator and encoder read it off their images. While a
resolution fades in, `alpha` in [0, 1] is the weight of the new layers; `alpha=None` is the stable phase
and builds no cross-fade at all.

Images are float [N, H, W, C] in [-1, 1]; latents are float [N, latent_size].
"""

import dataclasses

import keras
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layers import (
    HE_GAIN,
    ChannelBias,
    EqualizedConv2D,
    EqualizedDense,
    downscale2d,
    lerp,
    minibatch_stddev,
    pixel_norm,
    upscale2d,
)
from proganomaly.components.model.settings import NetworkSettings

BASE_RESOLUTION = 4


def resolutions_up_to(resolution: int) -> list[int]:
    """Returns [4, 8, ..., resolution]."""
    return [2**level for level in range(2, resolution.bit_length())]


def to_network_range(images: tf.Tensor) -> tf.Tensor:
    """uint8 [0, 255] -> float32 [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Float [-1, 1] -> uint8 [0, 255], rounded and clipped."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


class Generator(keras.Model):
    """Latents to images: dense -> 4x4 -> convolutions that double the resolution -> linear toRGB."""

    def __init__(self, settings: NetworkSettings, spec: ImageSpec) -> None:
        super().__init__(name="generator")
        self.slope = settings.leaky_slope
        assert settings.latent_size is not None
        self.latent_size = settings.latent_size
        self.final_resolution = spec.resolution
        maps = settings.feature_maps
        # The gain follows the original: He's, divided by 4.
        self.dense = EqualizedDense(
            settings.latent_size, maps(4) * 16, gain=HE_GAIN / 4, use_bias=False, name="4x4_dense"
        )
        self.dense_bias = ChannelBias(maps(4), name="4x4_bias")
        self.conv = EqualizedConv2D(maps(4), maps(4), name="4x4_conv")
        self.to_rgb = {"4": EqualizedConv2D(maps(4), spec.channels, 1, gain=1.0, name="4x4_to_rgb")}
        self.blocks: dict[str, list[EqualizedConv2D]] = {}
        for resolution in resolutions_up_to(spec.resolution)[1:]:
            name = f"{resolution}x{resolution}"
            self.blocks[str(resolution)] = [
                EqualizedConv2D(
                    maps(resolution // 2),
                    maps(resolution),
                    scaling="up",
                    fused_scaling=settings.fused_scaling,
                    name=f"{name}_conv_up",
                ),
                EqualizedConv2D(maps(resolution), maps(resolution), name=f"{name}_conv"),
            ]
            self.to_rgb[str(resolution)] = EqualizedConv2D(
                maps(resolution), spec.channels, 1, gain=1.0, name=f"{name}_to_rgb"
            )
        self.built = True

    def call(
        self, latents: tf.Tensor, resolution: int | None = None, alpha: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns images [N, resolution, resolution, C]; the final resolution if None."""
        resolution = resolution or self.final_resolution
        x = self.dense(pixel_norm(latents))
        x = tf.reshape(x, [-1, BASE_RESOLUTION, BASE_RESOLUTION, x.shape[-1] // 16])
        x = self._activate(self.dense_bias(x))
        x = previous = self._activate(self.conv(x))
        for level in resolutions_up_to(resolution)[1:]:
            previous = x
            for conv in self.blocks[str(level)]:
                x = self._activate(conv(x))
        images = self.to_rgb[str(resolution)](x)
        if alpha is None or resolution == BASE_RESOLUTION:
            return images
        return lerp(upscale2d(self.to_rgb[str(resolution // 2)](previous)), images, alpha)

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return pixel_norm(tf.nn.leaky_relu(x, self.slope))


class ConvolutionalTrunk(keras.layers.Layer):
    """Images to 4x4 feature maps: what discriminator and encoder have in common."""

    def __init__(self, settings: NetworkSettings, spec: ImageSpec, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.slope = settings.leaky_slope
        maps = settings.feature_maps
        self.from_rgb: dict[str, EqualizedConv2D] = {}
        self.blocks: dict[str, list[EqualizedConv2D]] = {}
        for resolution in resolutions_up_to(spec.resolution):
            name = f"{resolution}x{resolution}"
            self.from_rgb[str(resolution)] = EqualizedConv2D(
                spec.channels, maps(resolution), 1, name=f"{name}_from_rgb"
            )
            if resolution > BASE_RESOLUTION:
                self.blocks[str(resolution)] = [
                    EqualizedConv2D(maps(resolution), maps(resolution), name=f"{name}_conv"),
                    EqualizedConv2D(
                        maps(resolution),
                        maps(resolution // 2),
                        scaling="down",
                        fused_scaling=settings.fused_scaling,
                        name=f"{name}_conv_down",
                    ),
                ]
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the 4x4 feature maps, [N, 4, 4, feature_maps(4)]."""
        return self.feature_maps(images, alpha)[BASE_RESOLUTION]

    def feature_maps(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> dict[int, tf.Tensor]:
        """Returns the activations at every resolution R: float [N, R, R, D].

        They are tapped behind the first convolution of each block, before it scales down; the one of 4x4 is
        the trunk's output.
        """
        resolution = images.shape[1]
        x = self._activate(self.from_rgb[str(resolution)](images))
        taps = {}
        for level in reversed(resolutions_up_to(resolution)[1:]):
            conv, conv_down = self.blocks[str(level)]
            taps[level] = self._activate(conv(x))
            x = self._activate(conv_down(taps[level]))
            if alpha is not None and level == resolution:
                smaller = self.from_rgb[str(level // 2)](downscale2d(images))
                x = lerp(self._activate(smaller), x, alpha)
        taps[BASE_RESOLUTION] = x
        return taps

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.leaky_relu(x, self.slope)


class Discriminator(keras.Model):
    """Images to one score each, higher = more real (a critic: no sigmoid)."""

    def __init__(self, settings: NetworkSettings, spec: ImageSpec) -> None:
        super().__init__(name="discriminator")
        self.slope = settings.leaky_slope
        self.group = settings.minibatch_stddev_group
        maps = settings.feature_maps
        self.trunk = ConvolutionalTrunk(settings, spec, name="trunk")
        self.conv = EqualizedConv2D(maps(4) + 1, maps(4), name="4x4_conv")
        self.dense = EqualizedDense(maps(4) * 16, maps(2), name="4x4_dense")
        self.score = EqualizedDense(maps(2), 1, gain=1.0, name="score")
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float [N]."""
        x = minibatch_stddev(self.trunk(images, alpha=alpha), self.group)
        x = tf.nn.leaky_relu(self.conv(x), self.slope)
        x = tf.reshape(x, [x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]])
        x = tf.nn.leaky_relu(self.dense(x), self.slope)
        return tf.squeeze(self.score(x), axis=-1)


class Encoder(keras.Model):
    """Images to latents.

    Berg et al. 2019 take the discriminator without its last layer. Ours differs twice: it has no minibatch
    standard deviation, so that a code depends on its image alone, and it ends in a linear layer, since the
    output of a LeakyReLU can hardly be negative as half of a normal latent is.
    """

    def __init__(self, settings: NetworkSettings, spec: ImageSpec) -> None:
        super().__init__(name="encoder")
        assert settings.latent_size is not None
        self.slope = settings.leaky_slope
        maps = settings.feature_maps
        self.trunk = ConvolutionalTrunk(settings, spec, name="trunk")
        self.conv = EqualizedConv2D(maps(4), maps(4), name="4x4_conv")
        self.dense = EqualizedDense(maps(4) * 16, maps(2), name="4x4_dense")
        self.latent = EqualizedDense(maps(2), settings.latent_size, gain=1.0, name="latent")
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns latents [N, latent_size]."""
        return self.latent(self.features(images, alpha))

    def features(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the activations before the last layer, [N, feature_maps(2)]."""
        x = tf.nn.leaky_relu(self.conv(self.trunk(images, alpha=alpha)), self.slope)
        x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
        return tf.nn.leaky_relu(self.dense(x), self.slope)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The three networks of one model, built for one final resolution."""

    generator: Generator
    discriminator: Discriminator
    encoder: Encoder

    def variables(self) -> list[keras.Variable]:
        """Returns all weights, in an order that depends on the settings alone."""
        return [*self.generator.variables, *self.discriminator.variables, *self.encoder.variables]

    def assign(self, source: "Networks") -> None:
        """Copies all weights of `source`, which may live in another distribution strategy."""
        for own, other in zip(self.variables(), source.variables(), strict=True):
            own.assign(other.numpy())


def build_networks(settings: NetworkSettings, spec: ImageSpec) -> Networks:
    """Creates the networks with all weights of all resolutions.

    Initial values come from Keras' global random state: `keras.utils.set_random_seed` fixes them.
    """
    settings = settings.for_resolution(spec.resolution)
    return Networks(Generator(settings, spec), Discriminator(settings, spec), Encoder(settings, spec))
