"""Thumbnails, and which of them are near."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from proganomaly.components.images import near_identical


def test_thumbnail_is_the_mean_of_equal_areas():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 1), dtype=np.uint8)
    expected = image[:, :, 0].reshape(16, 4, 16, 6).mean(axis=(1, 3))
    # Rounded after each of the two directions.
    assert np.abs(near_identical.thumbnail(image) - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_alpha_does_not_count_and_text_gives_the_thumbnail_back(channels):
    image = np.full((20, 30, channels), 77, np.uint8)
    if channels in (2, 4):
        image[:, :, -1] = np.random.default_rng(0).integers(0, 256, (20, 30))
    small = near_identical.thumbnail(image)
    assert (small == 77).all()
    np.testing.assert_array_equal(near_identical.from_text(near_identical.to_text(small)), small)


@pytest.mark.parametrize("name", ["brick", "gravel", "grass"])
def test_another_encoding_is_near_and_another_place_is_not(name):
    photograph = getattr(data, name)()
    crops = [photograph[y : y + 128, x : x + 128] for y in range(0, 384, 64) for x in range(0, 384, 64)]
    copies = []
    for crop in crops:
        file = io.BytesIO()
        Image.fromarray(crop).save(file, "JPEG", quality=75)
        copies.append(np.asarray(Image.open(file)))
    first, second = (
        np.stack([near_identical.thumbnail(image[:, :, None]) for image in images])
        for images in (crops, copies)
    )
    pairs = near_identical.near_pairs(first, second, 2.0)
    assert set(map(tuple, pairs.tolist())) == {(i, i) for i in range(len(crops))}


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.floats(0, 12))
def test_pairs_are_those_of_all_distances(seed, left, right, levels):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (6, 16, 16))
    first, second = (
        np.clip(base[rng.integers(0, 6, n)] + rng.integers(-9, 10, (n, 16, 16)), 0, 255).astype(np.uint8)
        for n in (left, right)
    )
    squared = ((first[:, None].astype(int) - second[None]) ** 2).mean(axis=(2, 3))
    found = set(map(tuple, near_identical.near_pairs(first, second, levels).tolist()))
    assert found == set(zip(*(x.tolist() for x in np.nonzero(squared <= levels**2)), strict=True))


def test_more_pairs_than_can_be_listed_are_told(monkeypatch):
    monkeypatch.setattr(near_identical, "_MAX_PAIRS", 99)
    same = np.zeros((10, 16, 16), np.uint8)
    assert near_identical.near_pairs(same, same, 0) is None
    assert len(near_identical.near_pairs(same[:9], same, 0)) == 90


def test_none_on_one_side():
    nothing, one = np.zeros((0, 16, 16), np.uint8), np.zeros((1, 16, 16), np.uint8)
    assert near_identical.near_pairs(nothing, one, 2).shape == (0, 2)
    assert near_identical.near_pairs(one, nothing, 2).shape == (0, 2)
