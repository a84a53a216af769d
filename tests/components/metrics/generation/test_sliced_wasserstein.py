"""Sliced Wasserstein distance against a plain second implementation, and its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from proganomaly.components.metrics.generation.sliced_wasserstein import (
    PATCHES_PER_IMAGE,
    PatchSample,
    image_distances,
    sliced_wasserstein,
)


def images(seed: int, side: int, channels: int = 3, count: int = 6) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(120, 60, (count, side, side, channels))
    return noise.clip(0, 255).astype(np.uint8)


def plain_level(stack: np.ndarray, smallest: int) -> dict[int, np.ndarray]:
    """The Laplacian pyramid by the two-dimensional kernel, image by image and channel by channel."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    result: dict[int, list] = {}
    for image in stack.astype(float):
        planes = [image[..., channel] for channel in range(image.shape[-1])]
        while planes[0].shape[0] > smallest:
            coarse = [ndimage.convolve(plane, kernel, mode="mirror")[::2, ::2] for plane in planes]
            bands = []
            for plane, small in zip(planes, coarse, strict=True):
                spread = np.zeros_like(plane)
                spread[::2, ::2] = small
                bands.append(plane - ndimage.convolve(spread, 4 * kernel, mode="mirror"))
            result.setdefault(len(bands[0]), []).append(np.stack(bands))
            planes = coarse
        result.setdefault(len(planes[0]), []).append(np.stack(planes))
    return {level: np.stack(parts) for level, parts in result.items()}


def plain_distance(first: np.ndarray, second: np.ndarray, seed: int) -> dict[int, float]:
    """Loops over patches and directions; places and directions come from the stated random streams."""
    distances = {}
    levels = [plain_level(stack, 16) for stack in (first, second)]
    for level in levels[0]:
        side = min(7, level)
        descriptors = []
        for bands in (pyramid[level] for pyramid in levels):
            places = level - side + 1
            random = np.random.default_rng([seed, level])
            patches = []
            for image in bands:
                if level < 16:
                    at = [(y, x) for y in range(places) for x in range(places)]
                else:
                    at = [
                        tuple(int(value * places) for value in random.random(2))
                        for _ in range(PATCHES_PER_IMAGE)
                    ]
                patches += [image[:, y : y + side, x : x + side] for y, x in at]
            stack = np.stack(patches)
            for channel in range(stack.shape[1]):
                values = stack[:, channel]
                stack[:, channel] = (values - values.mean()) / values.std()
            descriptors.append(stack.reshape(len(stack), -1))
        random = np.random.default_rng(seed)
        total = []
        for direction in random.standard_normal((4 * 128, descriptors[0].shape[1])):
            unit = direction / np.sqrt(sum(direction**2))
            total.append(stats.wasserstein_distance(descriptors[0] @ unit, descriptors[1] @ unit))
        distances[level] = 1_000 * np.mean(total)
    return distances


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (16, 1), (8, 2), (4, 1)])
def test_equals_the_plain_implementation(side, channels):
    first, second = images(1, side, channels), images(2, side, channels) // 2 + 40
    expected = plain_distance(first, second, seed=5)
    assert image_distances(first, second, seed=5) == pytest.approx(expected, rel=1e-4)
    assert min(expected.values()) > 1


@pytest.mark.parametrize(("side", "levels"), [(128, [128, 64, 32, 16]), (16, [16]), (8, [8]), (4, [4])])
def test_levels_end_at_16_pixels_and_smaller_images_have_their_own(side, levels):
    sample = PatchSample()
    sample.add(images(1, side, count=2))
    descriptors = sample.descriptors()
    assert list(descriptors) == levels
    count, width = descriptors[levels[-1]].shape
    assert width == 3 * min(7, side) ** 2
    assert count == 2 * {8: 4, 4: 1}.get(side, PATCHES_PER_IMAGE)


@given(seed=st.integers(0, 1000), side=st.sampled_from([4, 8, 16, 32]), channels=st.integers(1, 4))
def test_equal_sets_are_at_0_and_the_order_of_two_sets_is_of_no_matter(seed, side, channels):
    first, second = images(seed, side, channels, 3), images(seed + 1, side, channels, 3)
    assert image_distances(first, first, seed) == dict.fromkeys(image_distances(first, second, seed), 0.0)
    assert image_distances(first, second, seed) == image_distances(second, first, seed)


@given(seed=st.integers(0, 1000), shift=st.floats(0.5, 10), more=st.floats(0.5, 10))
def test_distance_grows_with_the_shift_of_one_set(seed, shift, more):
    points = np.random.default_rng(seed).normal(size=(50, 6))
    nearer, farther = (sliced_wasserstein(points, points + by, seed) for by in (shift, shift + more))
    # A shift moves every projection alike, so the distance is a multiple of it.
    assert 0 < nearer < farther
    assert farther == pytest.approx(nearer * (shift + more) / shift)


def test_distance_grows_with_blur_and_stays_near_the_baseline_for_fresh_real_images():
    real, fresh = images(1, 32, count=64), images(2, 32, count=64)
    blurred = [
        ndimage.gaussian_filter(fresh.astype(float), (0, sigma, sigma, 0)).astype(np.uint8)
        for sigma in (0.7, 1.5)
    ]
    baseline, little, much = (image_distances(real, other)[32] for other in (fresh, *blurred))
    assert 2 * baseline < little < much


def test_batches_make_no_difference_and_the_seed_does():
    stack = images(3, 32, count=50)
    whole, parts, other = PatchSample(1), PatchSample(1), PatchSample(2)
    whole.add(stack)
    other.add(stack)
    for part in np.array_split(stack, 7):
        parts.add(part)
    for level, descriptors in whole.descriptors().items():
        np.testing.assert_array_equal(descriptors, parts.descriptors()[level])
        assert not np.array_equal(descriptors, other.descriptors()[level])


def test_a_constant_image_is_no_division_by_0():
    flat = np.full((3, 16, 16, 1), 7, np.uint8)
    assert np.isfinite(image_distances(flat, images(1, 16, 1, 3))[16])


def test_sets_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="one shape; received"):
        image_distances(images(1, 16, count=2), images(1, 16, count=3))
    with pytest.raises(ValueError, match=r"levels \[16\] and \[8\]"):
        image_distances(images(1, 16), images(1, 8))
