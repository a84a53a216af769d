"""Residuals against numpy, MS-SSIM against a second implementation."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import convolve2d

from proganomaly.components.model.residuals import (
    feature_residual,
    pixel_residual,
    reduced_residual,
    structural_residual,
)

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def _images(side: int, channels: int = 1, count: int = 3, seed: int = 0) -> np.ndarray:
    images = np.random.default_rng(seed).uniform(-1, 1, (count, side, side, channels))
    return np.round(images * 127.5).astype(np.float32) / 127.5


def _ms_ssim(one: np.ndarray, two: np.ndarray, scales: int, window_side: int) -> float:
    """Of two images of one channel in [0, 1], as Wang et al. 2003 write it."""
    offsets = np.arange(window_side) - (window_side - 1) / 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return convolve2d(image, window, mode="valid")

    weights, result = WEIGHTS[:scales] / WEIGHTS[:scales].sum(), 1.0
    for scale, weight in enumerate(weights):
        mean_one, mean_two = mean(one), mean(two)
        covariance = mean(one * two) - mean_one * mean_two
        variances = mean(one**2) - mean_one**2 + mean(two**2) - mean_two**2
        similarity = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        if scale == scales - 1:
            luminance = (2 * mean_one * mean_two + 0.01**2) / (mean_one**2 + mean_two**2 + 0.01**2)
            similarity = similarity * luminance
        result *= max(similarity.mean(), 0) ** weight
        half = len(one) // 2
        one, two = (image.reshape(half, 2, half, 2).mean(axis=(1, 3)) for image in (one, two))
    return result


def test_pixel_residual_is_the_mean_absolute_error():
    images, others = _images(4, 2), _images(4, 2, seed=1)
    expected = np.abs(images - others).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(pixel_residual(images, others), expected, rtol=1e-5)


@pytest.mark.parametrize("side, scales, window", [(4, 1, 3), (8, 1, 7), (16, 2, 7), (64, 4, 7), (256, 5, 11)])
def test_structural_residual_is_that_of_a_second_implementation(side, scales, window):
    images = _images(side, count=2)
    others = np.clip(0.7 * images + 0.3 * _images(side, count=2, seed=1), -1, 1)
    expected = [
        1 - _ms_ssim((one + 1) / 2, (two + 1) / 2, scales, window)
        for one, two in zip(images[..., 0], others[..., 0], strict=True)
    ]
    found = structural_residual(tf.constant(images), tf.constant(others))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_structural_residual_sees_structure_rather_than_brightness():
    images = _images(32, 3) * 0.5
    np.testing.assert_allclose(structural_residual(images, images), 0, atol=1e-6)
    brighter, noisy = images + 0.1, images + 0.1 * np.sign(_images(32, 3, seed=1))
    assert np.all(structural_residual(images, brighter) < structural_residual(images, noisy))


def test_feature_residual_is_the_mean_absolute_difference():
    one, two = _images(4, 5), _images(4, 5, seed=1)
    np.testing.assert_allclose(
        feature_residual(one, two), np.abs(one - two).reshape(3, -1).mean(axis=1), rtol=1e-5
    )


@pytest.mark.parametrize(
    "side, channels, reduced", [(4, 1, 4), (16, 3, 16), (64, 1, 16), (32, 4, 16), (32, 5, 8), (8, 100, 2)]
)
def test_reduced_residual_is_a_box_mean_of_bounded_length(side, channels, reduced):
    images, others = _images(side, channels), _images(side, channels, seed=1)
    factor = side // reduced
    expected = (images - others).reshape(3, reduced, factor, reduced, factor, channels).mean(axis=(2, 4))
    found = reduced_residual(images, others)
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-5)
    assert found.shape[1] <= 1024
