"""Generator, discriminator and encoder that grow together (Karras et al. 2018, Berg et al. 2019).

All layers of the final resolution exist from the start. A call runs the part that the current resolution
needs: the generator is told the resolution, discriminator and encoder read it off their images. While a
resolution fades in, `alpha` in [0, 1] is the weight of the new layers; `alpha=None` is the stable phase
and builds no cross-fade at all.

Images are float [N, H, W, C] in [-1, 1]. The generator's input is a code, float [N, code_size]: a latent, and
behind it a one-hot label where the GAN is conditional. The networks compute in the data type of their input;
images, scores and codes come out as float32.
"""

import dataclasses

import keras
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layer_builder import LayerBuilder
from proganomaly.components.model.layers import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    HE_GAIN,
    ChannelBias,
    EqualizedConv2D,
    channel_axis,
    downscale2d,
    lerp,
    minibatch_stddev,
    pixel_norm,
    upscale2d,
)
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.model.transforms import transform_counts

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
    """Codes to images: dense -> 4x4 -> convolutions that double the resolution -> linear toRGB."""

    def __init__(self, build: LayerBuilder, spec: ImageSpec) -> None:
        super().__init__(name="generator", autocast=False)
        settings, maps = build.settings, build.maps
        assert settings.latent_size is not None
        self.settings, self.data_format = settings, build.data_format
        self._activate = build.leaky_relu_and_pixel_norm()
        self.latent_size, self.label_count = settings.latent_size, settings.label_count
        self.code_size = self.latent_size + self.label_count
        self.final_resolution = spec.resolution
        # The gain follows the original: He's, divided by 4.
        self.dense = build.dense(
            self.code_size, maps(4) * 16, gain=HE_GAIN / 4, use_bias=False, name="4x4_dense"
        )
        self.dense_bias = (
            ChannelBias(maps(4), self.data_format, name="4x4_bias") if settings.use_bias else None
        )
        self.conv = build.conv(maps(4), maps(4), name="4x4_conv")
        self.to_rgb = {"4": build.conv(maps(4), spec.channels, "4x4_to_rgb", kernel_size=1, gain=1.0)}
        self.blocks: dict[str, list[EqualizedConv2D]] = {}
        for resolution in resolutions_up_to(spec.resolution)[1:]:
            name = f"{resolution}x{resolution}"
            self.blocks[str(resolution)] = [
                build.conv(maps(resolution // 2), maps(resolution), f"{name}_conv_up", scaling="up"),
                build.conv(maps(resolution), maps(resolution), f"{name}_conv"),
            ]
            self.to_rgb[str(resolution)] = build.conv(
                maps(resolution), spec.channels, f"{name}_to_rgb", kernel_size=1, gain=1.0
            )
        self.built = True

    def call(
        self, codes: tf.Tensor, resolution: int | None = None, alpha: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns images [N, resolution, resolution, C]; the final resolution if None."""
        resolution = resolution or self.final_resolution
        if self.settings.normalize_latents:
            codes = pixel_norm(codes, self.settings.epsilon)
        x = self.dense(codes)
        x = tf.reshape(x, [-1, BASE_RESOLUTION, BASE_RESOLUTION, x.shape[-1] // 16])
        if self.data_format == CHANNELS_FIRST:
            x = _to_channels_first(x)
        x = self._activate(self.dense_bias(x) if self.dense_bias else x)
        x = previous = self._activate(self.conv(x))
        for level in resolutions_up_to(resolution)[1:]:
            previous = x
            for conv in self.blocks[str(level)]:
                x = self._activate(conv(x))
        images = self._image(x, resolution)
        if alpha is None or resolution == BASE_RESOLUTION:
            return images
        return lerp(upscale2d(self._image(previous, resolution // 2)), images, alpha)

    def _image(self, x: tf.Tensor, resolution: int) -> tf.Tensor:
        images = self.to_rgb[str(resolution)](x)
        if self.data_format == CHANNELS_FIRST:
            images = _to_channels_last(images)
        return tf.cast(images, tf.float32)


class ConvolutionalTrunk(keras.layers.Layer):
    """Images to 4x4 feature maps: what discriminator and encoder have in common."""

    def __init__(self, build: LayerBuilder, spec: ImageSpec, **kwargs: object) -> None:
        super().__init__(autocast=False, **kwargs)
        maps, self.data_format = build.maps, build.data_format
        self._activate = build.leaky_relu()
        self.from_rgb: dict[str, EqualizedConv2D] = {}
        self.blocks: dict[str, list[EqualizedConv2D]] = {}
        for resolution in resolutions_up_to(spec.resolution):
            name = f"{resolution}x{resolution}"
            self.from_rgb[str(resolution)] = build.conv(
                spec.channels, maps(resolution), f"{name}_from_rgb", kernel_size=1
            )
            if resolution > BASE_RESOLUTION:
                self.blocks[str(resolution)] = [
                    build.conv(maps(resolution), maps(resolution), f"{name}_conv"),
                    build.conv(maps(resolution), maps(resolution // 2), f"{name}_conv_down", scaling="down"),
                ]
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the 4x4 feature maps, [N, 4, 4, feature_maps(4)]."""
        return self.feature_maps(images, alpha)[BASE_RESOLUTION]

    def feature_maps(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> dict[int, tf.Tensor]:
        """Returns the activations at every resolution R: float [N, R, R, D], or [N, D, R, R].

        They are tapped behind the first convolution of each block, before it scales down; the one of 4x4 is
        the trunk's output.
        """
        resolution = images.shape[1]
        x = self._from_rgb(images, resolution)
        taps = {}
        for level in reversed(resolutions_up_to(resolution)[1:]):
            conv, conv_down = self.blocks[str(level)]
            taps[level] = self._activate(conv(x))
            x = self._activate(conv_down(taps[level]))
            if alpha is not None and level == resolution:
                x = lerp(self._from_rgb(downscale2d(images), level // 2), x, alpha)
        taps[BASE_RESOLUTION] = x
        return taps

    def _from_rgb(self, images: tf.Tensor, resolution: int) -> tf.Tensor:
        if self.data_format == CHANNELS_FIRST:
            images = _to_channels_first(images)
        return self._activate(self.from_rgb[str(resolution)](images))


class Discriminator(keras.Model):
    """Images to one score each, higher = more real (a critic: no sigmoid), and to label logits."""

    def __init__(self, build: LayerBuilder, spec: ImageSpec) -> None:
        super().__init__(name="discriminator", autocast=False)
        settings, maps = build.settings, build.maps
        self.settings, self.data_format = settings, build.data_format
        self._activate = build.leaky_relu()
        self.trunk = ConvolutionalTrunk(build, spec, name="trunk")
        self.conv = build.conv(maps(4) + 1, maps(4), "4x4_conv")
        self.dense = build.dense(maps(4) * 16, maps(2), "4x4_dense")
        self.score = build.dense(maps(2), 1 + settings.label_count, "score", gain=1.0)
        # Behind all others, so that a head that is off changes no initial weight.
        self.transform_count = sum(transform_counts(settings.transforms))
        if self.transform_count:
            self.transform_conv = build.conv(maps(4), maps(4), "4x4_transform_conv")
            self.transform_dense = build.dense(maps(4) * 16, maps(2), "4x4_transform_dense")
            self.transform = build.dense(maps(2), self.transform_count, "transform", gain=1.0)
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None, parts: int = 1) -> tf.Tensor:
        """Returns scores, float [N]; see `scores_and_logits`."""
        return self.scores_and_logits(images, alpha, parts)[0]

    def scores_and_logits(
        self, images: tf.Tensor, alpha: tf.Tensor | None = None, parts: int = 1
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns scores [N] and the logits of the labels [N, label_count].

        Args:
            images: float [N, R, R, C].
            alpha: Weight of the newest layers, None in a stable phase.
            parts: Equal parts of the batch whose minibatch statistics are kept apart.
        """
        settings = self.settings
        x = self.trunk(images, alpha=alpha)
        x = minibatch_stddev(x, settings.minibatch_stddev_group, parts, settings.epsilon, self.data_format)
        outputs = self._outputs(x)
        return outputs[:, 0], outputs[:, 1:]

    def statistic_of(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the mean of what the minibatch layer appends to a batch of the trunk's output, N static."""
        settings = self.settings
        x = minibatch_stddev(x, settings.minibatch_stddev_group, 1, settings.epsilon, self.data_format)
        appended = x[:, -1] if self.data_format == CHANNELS_FIRST else x[..., -1]
        return tf.reduce_mean(tf.cast(appended, tf.float32))

    def score_of(self, x: tf.Tensor, statistic: tf.Tensor) -> tf.Tensor:
        """Returns scores [N] from the trunk's output, where the minibatch layer appends `statistic` to all.

        The score of an image then depends on that image alone.
        """
        axis = channel_axis(self.data_format)
        plane = tf.zeros_like(tf.gather(x, [0], axis=axis)) + tf.cast(statistic, x.dtype)
        return self._outputs(tf.concat([x, plane], axis=axis))[:, 0]

    def transform_features_of(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the head's activations before its logits, from the trunk's output: float [N, maps(2)]."""
        x = self._activate(self.transform_conv(x))
        x = self._activate(self.transform_dense(_flattened(x, self.data_format)))
        return tf.cast(x, tf.float32)

    def transform_logits(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns what the head takes images to be transformed by, float [N, transform_count].

        The logits of the kinds in `settings.transforms` stand behind each other.
        """
        return self.transform(self.transform_features_of(self.trunk(images, alpha=alpha)))

    def _outputs(self, x: tf.Tensor) -> tf.Tensor:
        x = self._activate(self.conv(x))
        x = self._activate(self.dense(_flattened(x, self.data_format)))
        return self.score(tf.cast(x, tf.float32))


class Encoder(keras.Model):
    """Images to codes.

    Berg et al. 2019 take the discriminator without its last layer. Ours differs twice: it has no minibatch
    standard deviation, so that a code depends on its image alone, and it ends in a linear layer, since the
    output of a LeakyReLU can hardly be negative as half of a normal latent is.
    """

    def __init__(self, build: LayerBuilder, spec: ImageSpec) -> None:
        super().__init__(name="encoder", autocast=False)
        settings, maps = build.settings, build.maps
        assert settings.latent_size is not None
        self.data_format = build.data_format
        self._activate = build.leaky_relu()
        self.trunk = ConvolutionalTrunk(build, spec, name="trunk")
        self.conv = build.conv(maps(4), maps(4), "4x4_conv")
        self.dense = build.dense(maps(4) * 16, maps(2), "4x4_dense")
        self.latent = build.dense(maps(2), settings.latent_size + settings.label_count, "latent", gain=1.0)
        self.built = True

    def call(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns codes, float [N, code_size]."""
        return self.latent(self.features(images, alpha))

    def features(self, images: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the activations before the last layer, float [N, feature_maps(2)]."""
        return self.features_of(self.trunk(images, alpha=alpha))

    def features_of(self, x: tf.Tensor) -> tf.Tensor:
        """Does what `features` does, from the trunk's output on."""
        x = self._activate(self.conv(x))
        x = self._activate(self.dense(_flattened(x, self.data_format)))
        return tf.cast(x, tf.float32)


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


def build_networks(
    settings: NetworkSettings, spec: ImageSpec, data_format: str = CHANNELS_LAST, jit_chains: bool = False
) -> Networks:
    """Creates the networks with all weights of all resolutions.

    Initial values come from Keras' global random state: `keras.utils.set_random_seed` fixes them.

    Args:
        settings: Widths and shape.
        spec: Final resolution and channels.
        data_format: Of the feature maps inside; images are [N, H, W, C] in any case.
        jit_chains: Compile the activations with XLA, LeakyReLU and pixel norm as one.
    """
    build = LayerBuilder(settings.for_resolution(spec.resolution), data_format, jit_chains)
    return Networks(Generator(build, spec), Discriminator(build, spec), Encoder(build, spec))


def build_untrained_encoder(settings: NetworkSettings, spec: ImageSpec, seed: int = 0) -> Encoder:
    """Returns an encoder with random weights, equal ones for equal seeds; sets Keras' random state."""
    keras.utils.set_random_seed(seed)
    return Encoder(LayerBuilder(settings.for_resolution(spec.resolution), CHANNELS_LAST, False), spec)


def make_codes(latents: tf.Tensor, labels: tf.Tensor, label_count: int) -> tf.Tensor:
    """Returns the generator's input: latents [N, L] with one-hot labels behind them, if there are any.

    Args:
        latents: float [N, latent_size].
        labels: Class of each image, int [N]; without meaning where `label_count` is 0.
        label_count: Number of classes.
    """
    if not label_count:
        return latents
    return tf.concat([latents, tf.one_hot(labels, label_count, dtype=latents.dtype)], axis=-1)


def _flattened(x: tf.Tensor, data_format: str) -> tf.Tensor:
    """Flattens 4x4 feature maps in the order of channels_last, which the weights behind are made for."""
    if data_format == CHANNELS_FIRST:
        x = _to_channels_last(x)
    return tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])


def _to_channels_first(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, [0, 3, 1, 2])


def _to_channels_last(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, [0, 2, 3, 1])
