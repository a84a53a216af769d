"""Image statistics on images whose statistics are known."""

import numpy as np
import pytest
from scipy import ndimage

from proganomaly.components.images.features import measure


@pytest.mark.parametrize("channels", [1, 3])
def test_uniform_image(channels):
    features = measure(np.full((8, 9, channels), 51, np.uint8))
    assert features.brightness == pytest.approx(0.2)
    assert features.contrast == 0
    assert features.sharpness == 0


def test_halves():
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, 4:] = 255
    features = measure(image)
    assert features.brightness == pytest.approx(0.5)
    assert features.contrast == pytest.approx(0.5)
    # The Laplacian is 255 and -255 in the two columns beside the edge, else 0: sqrt(2 / 8).
    assert features.sharpness == pytest.approx(0.5)


def test_blur_lowers_sharpness_only():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (32, 32, 1), dtype=np.uint8)
    smooth = np.full_like(noise, round(noise.mean()))
    assert measure(noise).sharpness > 10 * measure(smooth).sharpness
    assert measure(noise).brightness == pytest.approx(measure(smooth).brightness, abs=0.01)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_left_out(channels):
    image = np.full((4, 4, channels), 255, np.uint8)
    image[:, :, -1] = 0
    assert measure(image).brightness == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (9, 1, 2), (33, 50, 4), (600, 700, 3)])
def test_statistics_are_those_of_scipy(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    grey = image[:, :, : {1: 1, 2: 1, 3: 3, 4: 3}[shape[2]]].mean(axis=2, dtype=np.float64) / 255
    features = measure(image)
    assert features.brightness == pytest.approx(grey.mean(), abs=1e-9)
    assert features.contrast == pytest.approx(grey.std(), abs=1e-9)
    assert features.sharpness == pytest.approx(ndimage.laplace(grey).std(), abs=1e-9)
