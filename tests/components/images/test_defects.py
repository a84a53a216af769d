"""Synthetic defects: the mask is where the image changed, and chance comes from the generator alone."""

import functools

import numpy as np
import pytest
from scipy import ndimage

from proganomaly.components.images import defects

PHOTOGRAPH = np.random.default_rng(9).random((140, 150))
KINDS = {
    "scratch": defects.scratch,
    "stain": defects.stain,
    "cut": defects.cut,
    "cut_paste": defects.cut_paste,
    "perlin_blend": functools.partial(defects.perlin_blend, photograph=PHOTOGRAPH),
    "perlin_blend_alone": defects.perlin_blend,
}


def _surface(channels=None, size=64):
    """A surface with structure everywhere, so that every kind of defect shows."""
    rng = np.random.default_rng(0)
    shape = (size, size) if channels is None else (size, size, channels)
    return 0.3 + 0.4 * ndimage.gaussian_filter(rng.random(shape), 0.5)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.mark.parametrize("channels", [None, 3])
def test_mask_is_where_the_image_changed(kind, channels):
    image = _surface(channels)
    before = image.copy()
    areas = []
    for seed in range(10):
        out, mask = kind(image, np.random.default_rng(seed))
        assert out.shape == image.shape and mask.shape == image.shape[:2] and mask.dtype == bool
        assert out.min() >= 0 and out.max() <= 1
        change = np.abs(out - image).reshape(*mask.shape, -1).max(axis=2)
        # Most of the change is marked, most of what is marked has changed, and the rest is as it was.
        assert change[mask].sum() > 0.75 * change.sum()
        assert np.mean(change[mask] > 0.01) > 0.75
        assert change[~ndimage.binary_dilation(mask, iterations=6)].max() < 0.02
        areas.append(mask.mean())
    np.testing.assert_array_equal(image, before)
    assert 0.008 < np.mean(areas) < 0.05


def test_equal_generators_make_equal_defects(kind):
    first, second = (kind(_surface(), np.random.default_rng(3)) for _ in range(2))
    other = kind(_surface(), np.random.default_rng(4))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


def test_perlin_noise_is_zero_on_its_grid_and_smooth_between():
    noise = defects.perlin_noise(64, 48, cells=4, rng=np.random.default_rng(0))
    np.testing.assert_allclose(noise[::16, ::12], 0, atol=1e-12)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.25
    assert 0.3 < np.abs(noise).max() <= 1.01


def test_no_region_is_a_speck(kind):
    # AUPRO counts every region alike: one of a few pixels would weigh as much as the whole defect.
    for seed in range(10):
        _, mask = kind(_surface(size=128), np.random.default_rng(seed))
        regions, number = ndimage.label(mask, structure=np.ones((3, 3)))
        assert ndimage.sum_labels(mask, regions, range(1, number + 1)).min() >= 20


def test_moving_a_patch_of_a_uniform_image_changes_nothing():
    image = np.full((32, 32, 1), 0.5)
    damaged, mask = defects.cut_paste(image, np.random.default_rng(0))
    np.testing.assert_allclose(damaged, image)
    assert not mask.any()
