"""The layers against numpy and scipy, written from the formulas of Karras et al. 2018."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from hypothesis import given

from proganomaly.components.model import layers


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """ "SAME" correlation by scipy, one pair of channels at a time: NHWC and HWIO in, NHWC out."""
    result = np.zeros((*x.shape[:3], kernel.shape[3]))
    for image, source, target in np.ndindex(x.shape[0], *kernel.shape[2:]):
        result[image, :, :, target] += scipy.signal.correlate2d(
            x[image, :, :, source], kernel[:, :, source, target], mode="same"
        )
    return result


def _repeated(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _box_mean(x: np.ndarray) -> np.ndarray:
    count, height, width, channels = x.shape
    return x.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


@pytest.mark.parametrize("kernel_size, gain", [(1, 1.0), (3, math.sqrt(2))])
def test_convolution_scales_its_weights_by_gain_and_fan_in(kernel_size, gain):
    layer = layers.EqualizedConv2D(3, 5, kernel_size, gain=gain)
    layer.bias.bias.assign(_random(5, seed=1))
    x = _random(2, 6, 6, 3)
    scaled = layer.kernel.numpy() * gain / math.sqrt(kernel_size * kernel_size * 3)
    np.testing.assert_allclose(layer(x), _convolved(x, scaled) + _random(5, seed=1), atol=1e-5)


@pytest.mark.option("networks.fused_scaling")
@pytest.mark.parametrize("fused", [True, False])
def test_scaling_up_is_repetition_then_convolution(fused):
    layer = layers.EqualizedConv2D(3, 5, scaling="up", fused_scaling=fused)
    x = _random(2, 4, 4, 3)
    scaled = layer.kernel.numpy() * math.sqrt(2) / math.sqrt(9 * 3)
    np.testing.assert_allclose(layer(x), _convolved(_repeated(x), scaled), atol=1e-5)


@pytest.mark.option("networks.fused_scaling")
@pytest.mark.parametrize("fused", [True, False])
def test_scaling_down_is_convolution_then_box_mean(fused):
    layer = layers.EqualizedConv2D(3, 5, scaling="down", fused_scaling=fused)
    x = _random(2, 8, 8, 3)
    scaled = layer.kernel.numpy() * math.sqrt(2) / math.sqrt(9 * 3)
    np.testing.assert_allclose(layer(x), _box_mean(_convolved(x, scaled)), atol=1e-5)


def test_dense_scales_its_weights_by_gain_and_fan_in():
    layer = layers.EqualizedDense(7, 4, gain=0.5)
    layer.bias.bias.assign(_random(4, seed=1))
    x = _random(3, 7)
    expected = x @ (layer.kernel.numpy() * 0.5 / math.sqrt(7)) + _random(4, seed=1)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    unbiased = layers.EqualizedDense(7, 4, use_bias=False)
    assert [variable.shape for variable in unbiased.variables] == [(7, 4)]


def test_weights_begin_as_standard_normal():
    weights = layers.EqualizedConv2D(64, 64).kernel.numpy()
    assert abs(weights.mean()) < 0.02
    assert abs(weights.std() - 1) < 0.02


@given(st.integers(1, 4), st.sampled_from([2, 8]), st.floats(0.01, 100))
def test_pixel_norm_gives_unit_mean_square(count, channels, size):
    x = _random(count, 3, 3, channels) * np.float32(size)
    normed = layers.pixel_norm(x).numpy()
    np.testing.assert_allclose(normed, x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8), rtol=1e-4)
    np.testing.assert_allclose((normed**2).mean(axis=-1), 1.0, rtol=0.05)


def test_up_and_downscaling():
    x = _random(2, 4, 4, 3)
    np.testing.assert_array_equal(layers.upscale2d(x), _repeated(x))
    np.testing.assert_allclose(layers.downscale2d(x), _box_mean(x), atol=1e-6)
    np.testing.assert_allclose(layers.downscale2d(layers.upscale2d(x)), x, atol=1e-6)


@pytest.mark.parametrize(
    "batch, group_size, group", [(8, 4, 4), (4, 4, 4), (8, 1, 1), (6, 4, 3), (3, 4, 3), (5, 4, 1)]
)
def test_minibatch_stddev_groups_with_a_stride(batch, group_size, group):
    x = _random(batch, 4, 4, 3)
    found = layers.minibatch_stddev(tf.constant(x), group_size).numpy()
    assert found.shape == (batch, 4, 4, 4)
    np.testing.assert_array_equal(found[..., :3], x)
    stride = batch // group
    for image in range(batch):
        # Image i shares its group with every image at a distance of a multiple of the number of groups.
        mates = x[image % stride :: stride]
        assert len(mates) == group
        expected = np.sqrt(mates.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[image, ..., 3], expected, rtol=1e-5)


def test_lerp_goes_from_the_first_to_the_second():
    a, b = _random(2, 3), _random(2, 3, seed=1)
    for weight in (0.0, 0.25, 1.0):
        found = layers.lerp(tf.constant(a), tf.constant(b), tf.constant(weight))
        np.testing.assert_allclose(found, (1 - weight) * a + weight * b, atol=1e-6)
