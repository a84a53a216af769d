"""What is shown of images with any number of channels."""

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.images.display import displayable


def _images(channels):
    return np.random.default_rng(channels).integers(0, 256, (3, 4, 5, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_rgb_stay(channels):
    np.testing.assert_array_equal(displayable(_images(channels)), _images(channels))


def test_alpha_lies_over_white_as_pillow_lays_it():
    images = _images(4)
    for image, shown in zip(images, displayable(images), strict=True):
        white = Image.new("RGBA", (5, 4), "white")
        expected = Image.alpha_composite(white, Image.fromarray(image)).convert("RGB")
        assert np.abs(shown.astype(int) - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("channels", [5, 9])
def test_the_first_three_of_many(channels):
    np.testing.assert_array_equal(displayable(_images(channels)), _images(channels)[..., :3])


def test_the_mean_of_two():
    shown = displayable(_images(2))
    assert (shown.shape, shown.dtype) == ((3, 4, 5, 1), np.uint8)
    np.testing.assert_allclose(shown[..., 0], _images(2).astype(float).mean(axis=-1), atol=0.5)


def test_one_image_alone():
    assert displayable(_images(4)[0]).shape == (4, 5, 3)
