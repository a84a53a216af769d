"""The pyramid bit for bit against means in float64, taken of the original image in one step."""

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from proganomaly.components.pyramid.box_mean import box_mean_pyramid


def _reference(image: np.ndarray, resolution: int) -> np.ndarray:
    box = image.shape[0] // resolution
    boxes = image.astype(np.float64).reshape(resolution, box, resolution, box, -1)
    return np.rint(boxes.mean(axis=(1, 3))).astype(np.uint8)


def _levels(image: np.ndarray) -> dict[int, np.ndarray]:
    """The levels as [resolution, resolution, C], like the image."""
    levels = box_mean_pyramid(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return {resolution: level.transpose(1, 2, 0) for resolution, level in levels.items()}


def _check(image: np.ndarray) -> None:
    levels = _levels(image)
    side = image.shape[0]
    assert list(levels) == [side >> step for step in range(side.bit_length() - 2)]
    for resolution, level in levels.items():
        assert level.dtype == np.uint8
        np.testing.assert_array_equal(level, _reference(image, resolution), err_msg=str(resolution))


@pytest.mark.parametrize("name", ["brick", "gravel", "camera"])
def test_grey_photographs(name):
    _check(getattr(skimage.data, name)()[..., np.newaxis])


@pytest.mark.parametrize("name, side", [("astronaut", 512), ("retina", 1024)])
def test_colour_photographs(name, side):
    _check(getattr(skimage.data, name)()[:side, :side])


@pytest.mark.parametrize("value", [0, 255])
def test_uniform_image_at_the_largest_resolution(value):
    _check(np.full((1024, 1024, 3), value, np.uint8))


def test_halves_are_rounded_to_even_and_never_twice():
    # Means of 0.5, 1.5 and 2.5; then a mean of 2.25 over boxes whose rounded means would give 2.5.
    blocks = np.kron(np.array([[0, 1], [1, 0]]), np.ones((4, 4), int))
    for low, expected in ((0, 0), (1, 2), (2, 2)):
        image = (blocks[:8, :8] + low).astype(np.uint8)[..., np.newaxis]
        checker = image[::4, ::4, 0]
        tiled = np.tile(checker, (4, 4))[..., np.newaxis]
        assert set(_levels(tiled)[4].flat) == {expected}
    _check(np.arange(64, dtype=np.uint8).reshape(8, 8, 1) % 5)


def test_smallest_image_is_its_own_pyramid():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    levels = _levels(image)
    assert list(levels) == [4]
    np.testing.assert_array_equal(levels[4], image)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), side=st.sampled_from([4, 8, 16, 32, 64]), channels=st.sampled_from([1, 3]))
def test_any_image(data, side, channels):
    _check(data.draw(arrays.arrays(np.uint8, (side, side, channels))))


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_at_every_resolution(channels):
    noise = np.random.default_rng(channels).integers(0, 256, (1024, 1024, channels), np.uint8)
    for side in (128, 256, 512, 1024):
        _check(noise[:side, :side])
