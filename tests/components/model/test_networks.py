"""The networks against the published parameter counts, and growing against its definition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model import networks as networks_module
from proganomaly.components.model.networks import build_networks, to_network_range, to_uint8
from proganomaly.components.model.settings import NetworkSettings

TINY = NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8)
RESOLUTIONS = [4, 8, 16]


def _random(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


def _halved(images: tf.Tensor) -> np.ndarray:
    count, height, width, channels = images.shape
    return images.numpy().reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


@pytest.fixture(scope="module", params=[1, 3])
def tiny(request):
    keras.utils.set_random_seed(1)
    return build_networks(TINY, ImageSpec(16, request.param))


@pytest.fixture
def channels(tiny) -> int:
    return tiny.generator(_random(1, 8)).shape[-1]


def test_parameter_counts_are_the_published_ones():
    published = NetworkSettings(fmap_base=8192, fmap_max=512, latent_size=512)
    built = build_networks(published, ImageSpec(64, 1))
    assert built.generator.count_params() == 22_485_765
    assert built.discriminator.count_params() == 22_493_441
    # Berg's encoder is the discriminator without its last layer.
    berg = 22_493_441 - (512 * 1 + 1)
    assert berg == 22_492_928
    # Ours has no map of the minibatch standard deviation, and a linear layer at its end.
    without_stddev = 3 * 3 * 1 * 512
    linear = 512 * 512 + 512
    assert built.encoder.count_params() == berg - without_stddev + linear == 22_750_976


def test_widths_follow_the_published_formula():
    published = NetworkSettings(fmap_base=8192, fmap_max=512).for_resolution(1024)
    widths = [published.feature_maps(2**level) for level in range(2, 11)]
    assert widths == [512, 512, 512, 512, 256, 128, 64, 32, 16]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("alpha", [None, 0.3])
def test_shapes_at_every_resolution(tiny, channels, resolution, alpha):
    images = tiny.generator(_random(3, 8), resolution=resolution, alpha=alpha)
    assert images.shape == (3, resolution, resolution, channels)
    assert tiny.discriminator(images, alpha=alpha).shape == (3,)
    assert tiny.encoder(images, alpha=alpha).shape == (3, 8)
    taps = tiny.discriminator.trunk.feature_maps(images, alpha)
    wanted = {side: (3, side, side, 8) for side in RESOLUTIONS if side <= resolution}
    assert {side: tuple(tap.shape) for side, tap in taps.items()} == wanted


def test_the_final_resolution_is_the_default(tiny):
    latents = _random(2, 8)
    np.testing.assert_array_equal(tiny.generator(latents), tiny.generator(latents, resolution=16))


@pytest.mark.parametrize("resolution", RESOLUTIONS[1:])
def test_alpha_1_is_the_stable_network(tiny, channels, resolution):
    latents, images = _random(4, 8), _random(4, resolution, resolution, channels)
    np.testing.assert_allclose(
        tiny.generator(latents, resolution=resolution, alpha=1.0),
        tiny.generator(latents, resolution=resolution),
        atol=1e-6,
    )
    for network in (tiny.discriminator, tiny.encoder):
        np.testing.assert_allclose(network(images, alpha=1.0), network(images), atol=1e-5)


@pytest.mark.parametrize("resolution", RESOLUTIONS[1:])
def test_alpha_0_is_the_previous_resolution(tiny, channels, resolution):
    latents, images = _random(4, 8), _random(4, resolution, resolution, channels)
    smaller = tiny.generator(latents, resolution=resolution // 2).numpy()
    np.testing.assert_allclose(
        tiny.generator(latents, resolution=resolution, alpha=0.0),
        smaller.repeat(2, axis=1).repeat(2, axis=2),
        atol=1e-6,
    )
    for network in (tiny.discriminator, tiny.encoder):
        np.testing.assert_allclose(network(images, alpha=0.0), network(_halved(images)), atol=1e-5)


def test_the_first_resolution_does_not_fade(tiny):
    latents = _random(2, 8)
    np.testing.assert_array_equal(
        tiny.generator(latents, resolution=4, alpha=0.2), tiny.generator(latents, resolution=4)
    )


def test_a_code_depends_on_its_image_alone_and_a_critics_score_does_not(tiny, channels):
    images = _random(4, 16, 16, channels)
    others = tf.concat([images[:1], 10 * images[1:]], axis=0)
    np.testing.assert_allclose(tiny.encoder(images)[0], tiny.encoder(others)[0], atol=1e-6)
    np.testing.assert_allclose(tiny.encoder(images)[:1], tiny.encoder(images[:1]), atol=1e-5)
    # The minibatch standard deviation of the group is another.
    assert abs(tiny.discriminator(images)[0] - tiny.discriminator(others)[0]) > 1e-2


def test_latents_are_normed_so_their_length_does_not_matter(tiny):
    latents = _random(2, 8)
    np.testing.assert_allclose(tiny.generator(latents), tiny.generator(3.0 * latents), atol=1e-4)


def test_equal_seeds_give_equal_networks():
    keras.utils.set_random_seed(5)
    first = build_networks(TINY, ImageSpec(8, 1))
    keras.utils.set_random_seed(5)
    second = build_networks(TINY, ImageSpec(8, 1))
    for one, two in zip(first.variables(), second.variables(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(first.variables()) == sum(
        len(network.variables) for network in (first.generator, first.discriminator, first.encoder)
    )


def test_pixels_survive_the_way_to_the_networks_range_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    values = to_network_range(pixels)
    assert (float(tf.reduce_min(values)), float(tf.reduce_max(values))) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(values), pixels)
    np.testing.assert_array_equal(to_uint8(tf.constant([-7.0, 7.0])), [0, 255])


def test_resolutions_up_to():
    assert networks_module.resolutions_up_to(4) == [4]
    assert networks_module.resolutions_up_to(64) == [4, 8, 16, 32, 64]


@pytest.mark.option("networks.fmap_base", "networks.fmap_max", "networks.latent_size")
def test_default_widths_follow_the_resolution():
    small, large = NetworkSettings().for_resolution(32), NetworkSettings().for_resolution(256)
    assert (small.fmap_base, small.fmap_max, small.latent_size) == (512, 64, 64)
    assert (large.fmap_base, large.fmap_max, large.latent_size) == (4096, 64, 64)
    kept = NetworkSettings(fmap_base=100, fmap_max=20, latent_size=30)
    assert kept.for_resolution(256) == kept


@pytest.mark.parametrize(
    "name, value", [("fmap_base", 0), ("fmap_max", -1), ("leaky_slope", 1.0), ("minibatch_stddev_group", 0)]
)
def test_impossible_settings_are_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must be .*; received {value}$"):
        NetworkSettings(**{name: value})
