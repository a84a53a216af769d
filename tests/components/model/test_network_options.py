"""Each setting of the networks against a forward pass in numpy, written from Karras et al. 2018."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layers import EqualizedConv2D
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.settings import NetworkSettings

TINY = NetworkSettings(fmap_base=64, fmap_max=8, latent_size=6)
SPEC = ImageSpec(4, 1)
GAIN = math.sqrt(2)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(4, 4, 4, 1)).astype(np.float32)


class ByHand:
    """The networks at 4x4 pixels, channels last."""

    def __init__(self, networks, settings: NetworkSettings) -> None:
        self.networks, self.settings = networks, settings

    def generate(self, codes: np.ndarray) -> np.ndarray:
        generator = self.networks.generator
        x = self._normed(codes) if self.settings.normalize_latents else codes
        x = self._dense(x, generator.dense, GAIN / 4).reshape(-1, 4, 4, 8)
        if self.settings.use_bias:
            x = x + generator.dense_bias.bias.numpy()
        x = self._normed(self._leaky(x))
        x = self._normed(self._leaky(self._conv(x, generator.conv, GAIN)))
        return self._conv(x, generator.to_rgb["4"], 1.0)

    def judge(self, images: np.ndarray) -> np.ndarray:
        """Scores and logits."""
        discriminator, count = self.networks.discriminator, len(images)
        x = self._leaky(self._conv(images, discriminator.trunk.from_rgb["4"], GAIN))
        group = min(self.settings.minibatch_stddev_group, count)
        groups = x.reshape(group, count // group, 4, 4, 8)
        deviation = np.sqrt(groups.var(axis=0) + self.settings.epsilon).mean(axis=(1, 2, 3))
        deviations = np.broadcast_to(np.tile(deviation, group)[:, None, None, None], (count, 4, 4, 1))
        x = self._leaky(self._conv(np.concatenate([x, deviations], axis=3), discriminator.conv, GAIN))
        x = self._leaky(self._dense(x.reshape(count, -1), discriminator.dense, GAIN))
        return self._dense(x, discriminator.score, 1.0)

    def encode(self, images: np.ndarray) -> np.ndarray:
        encoder = self.networks.encoder
        x = self._leaky(self._conv(images, encoder.trunk.from_rgb["4"], GAIN))
        x = self._leaky(self._conv(x, encoder.conv, GAIN))
        x = self._leaky(self._dense(x.reshape(len(images), -1), encoder.dense, GAIN))
        return self._dense(x, encoder.latent, 1.0)

    def _leaky(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, self.settings.leaky_slope * x)

    def _normed(self, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + self.settings.epsilon)

    def _kernel(self, layer, gain: float) -> np.ndarray:
        kernel = layer.kernel.numpy()
        scale = gain / math.sqrt(math.prod(kernel.shape[:-1])) if self.settings.weight_scaling else 1.0
        return kernel * scale

    def _bias(self, layer) -> np.ndarray | float:
        return layer.bias.bias.numpy() if layer.bias is not None else 0.0

    def _dense(self, x: np.ndarray, layer, gain: float) -> np.ndarray:
        return x @ self._kernel(layer, gain) + self._bias(layer)

    def _conv(self, x: np.ndarray, layer, gain: float) -> np.ndarray:
        kernel = self._kernel(layer, gain)
        result = np.zeros((*x.shape[:3], kernel.shape[3]))
        for image, source, target in np.ndindex(len(x), *kernel.shape[2:]):
            result[image, :, :, target] += scipy.signal.correlate2d(
                x[image, :, :, source], kernel[:, :, source, target], mode="same"
            )
        return result + self._bias(layer)


def _built(spec: ImageSpec = SPEC, **changes):
    """Networks with offsets that are not zero, so that they count."""
    keras.utils.set_random_seed(1)
    settings = dataclasses.replace(TINY, **changes)
    networks = build_networks(settings, spec)
    random = np.random.default_rng(1)
    for variable in networks.variables():
        if variable.name == "bias":
            variable.assign(random.normal(size=variable.shape))
    return networks, settings


def _outputs(networks, codes: np.ndarray) -> list[np.ndarray]:
    scores, logits = networks.discriminator.scores_and_logits(IMAGES)
    judged = np.concatenate([scores[:, None], logits], axis=1)
    return [networks.generator(codes).numpy(), judged, networks.encoder(IMAGES).numpy()]


@pytest.mark.option(
    "networks.leaky_slope",
    "networks.epsilon",
    "networks.use_bias",
    "networks.weight_scaling",
    "networks.normalize_latents",
    "networks.minibatch_stddev_group",
    "networks.label_count",
)
@pytest.mark.parametrize(
    "changes, changed",
    [
        ({}, (False, False, False)),
        ({"leaky_slope": 0.0}, (True, True, True)),
        ({"leaky_slope": 0.7}, (True, True, True)),
        ({"epsilon": 0.3}, (True, True, False)),
        ({"use_bias": False}, (True, True, True)),
        ({"weight_scaling": False}, (True, True, True)),
        ({"normalize_latents": False}, (True, False, False)),
        ({"minibatch_stddev_group": 2}, (False, True, False)),
        ({"label_count": 2}, (True, True, True)),
    ],
    ids=str,
)
def test_networks_are_what_the_formulas_give(changes, changed):
    networks, settings = _built(**changes)
    # Large enough latents for their norm to matter behind the pixel norm of the first layer.
    codes = 3 * RANDOM.normal(size=(4, networks.generator.code_size)).astype(np.float32)
    found, by_hand = _outputs(networks, codes), ByHand(networks, settings)
    expected = [by_hand.generate(codes), by_hand.judge(IMAGES), by_hand.encode(IMAGES)]
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)
    if "label_count" in changes:
        assert [one.shape[1:] for one in found] == [(4, 4, 1), (3,), (8,)]
        return
    # The same weights under the default settings: only where the option has a say is the answer another.
    by_default = ByHand(networks, dataclasses.replace(TINY, use_bias=settings.use_bias))
    if "use_bias" in changes:
        by_default = ByHand(_built()[0], TINY)
    others = [by_default.generate(codes), by_default.judge(IMAGES), by_default.encode(IMAGES)]
    assert tuple(np.abs(one - two).max() > 1e-3 for one, two in zip(found, others, strict=True)) == changed


@pytest.mark.option("networks.use_bias")
def test_without_offsets_there_is_no_variable_for_one():
    networks, _ = _built(ImageSpec(8, 3), use_bias=False)
    assert {variable.name for variable in networks.variables()} == {"kernel"}


@pytest.mark.option("networks.weight_scaling")
def test_weights_scaled_at_the_start_have_the_deviation_of_those_scaled_later():
    scaled, plain = (EqualizedConv2D(64, 64, weight_scaling=later) for later in (True, False))
    expected = GAIN / math.sqrt(9 * 64)
    assert scaled.kernel.numpy().std() == pytest.approx(1.0, rel=0.02)
    assert plain.kernel.numpy().std() == pytest.approx(expected, rel=0.02)
    x = tf.constant(RANDOM.normal(size=(8, 6, 6, 64)), tf.float32)
    assert np.std(scaled(x)) == pytest.approx(np.std(plain(x)), rel=0.05)


@pytest.mark.option("networks.fused_scaling")
def test_fused_scaling_is_one_strided_operation():
    def operations(fused: bool) -> list[str]:
        networks, _ = _built(ImageSpec(8, 1), fused_scaling=fused)

        @tf.function
        def both(codes):
            return networks.discriminator(networks.generator(codes))

        graph = both.get_concrete_function(tf.TensorSpec([4, 6])).graph
        return [operation.type for operation in graph.get_operations()]

    fused, apart = operations(True), operations(False)
    # One up, one down. Apart, upsampling takes a tile and downsampling a pooling.
    assert (fused.count("Conv2DBackpropInput"), apart.count("Conv2DBackpropInput")) == (1, 0)
    assert (fused.count("AvgPool"), apart.count("AvgPool")) == (0, 1)


@pytest.mark.option(
    "networks.fmap_base", "networks.fmap_max", "networks.feature_maps_at", "networks.latent_size"
)
@pytest.mark.parametrize(
    "changes, widths, latent",
    [
        ({}, {4: 8, 8: 8, 16: 8}, 6),
        ({"fmap_base": 32}, {4: 8, 8: 8, 16: 4}, 6),
        ({"fmap_max": 5}, {4: 5, 8: 5, 16: 5}, 6),
        ({"feature_maps_at": {8: 3}}, {4: 8, 8: 3, 16: 8}, 6),
        ({"latent_size": 11}, {4: 8, 8: 8, 16: 8}, 11),
        ({"latent_size": None}, {4: 8, 8: 8, 16: 8}, 8),
    ],
)
def test_widths_are_those_of_the_kernels(changes, widths, latent):
    networks, _ = _built(ImageSpec(16, 1), **changes)
    generator = networks.generator
    assert generator.dense.kernel.shape == (latent, 16 * widths[4])
    assert networks.encoder.latent.kernel.shape[1] == latent
    assert generator.conv.kernel.shape == (3, 3, widths[4], widths[4])
    for resolution in (8, 16):
        up, conv = generator.blocks[str(resolution)]
        assert up.kernel.shape[2:] == (widths[resolution // 2], widths[resolution])
        assert conv.kernel.shape[2:] == (widths[resolution], widths[resolution])
        for network in (networks.discriminator, networks.encoder):
            conv, down = network.trunk.blocks[str(resolution)]
            assert conv.kernel.shape[2:] == (widths[resolution], widths[resolution])
            assert down.kernel.shape[2:] == (widths[resolution], widths[resolution // 2])
