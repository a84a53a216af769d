"""The scoring functions against scikit-learn, scipy and numpy."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given, settings
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.model.scoring import nearest_distances, smoothed, top_share


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=8)
@given(st.integers(1, 6), st.integers(5, 40), st.integers(1, 9), st.integers(1, 5))
def test_nearest_distances_are_those_of_scikit_learn(count, references, size, neighbours):
    vectors, known = _random(count, size), _random(references, size, seed=1)
    distances, _ = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(known).kneighbors(vectors)
    found = nearest_distances(tf.constant(vectors), tf.constant(known), neighbours)
    np.testing.assert_allclose(found, distances.mean(axis=1), atol=2e-3)


def test_nearest_distances_take_no_more_neighbours_than_there_are():
    vectors, known = tf.constant([[0.0, 0.0]]), tf.constant([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(nearest_distances(vectors, known, 5), [3.0])


@pytest.mark.parametrize("side, sigma", [(16, 0.5), (16, 1.28), (64, 1.28), (16, 3.0), (8, 4.0)])
def test_smoothing_is_scipys_gaussian(side, sigma):
    maps = _random(3, side, side)
    radius = min(int(3 * sigma + 0.5), side - 1)
    for found, single in zip(smoothed(tf.constant(maps), side, sigma), maps, strict=True):
        expected = scipy.ndimage.gaussian_filter(single, sigma, mode="mirror", radius=radius)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_smoothing_resizes_and_can_be_left_out():
    maps = _random(2, 4, 4)
    np.testing.assert_array_equal(smoothed(tf.constant(maps), 4, 0.0), maps)
    larger = smoothed(tf.constant(maps), 16, 1.0).numpy()
    assert larger.shape == (2, 16, 16)
    np.testing.assert_allclose(smoothed(tf.ones([1, 4, 4]), 16, 1.0), 1, atol=1e-5)


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.05, 13), (0.5, 128), (1.0, 256)])
def test_top_share_is_the_mean_of_the_highest(share, count):
    maps = _random(3, 16, 16)
    expected = np.sort(maps.reshape(3, -1), axis=1)[:, -max(1, round(share * 256)) :]
    np.testing.assert_allclose(top_share(tf.constant(maps), share), expected.mean(axis=1), atol=1e-5)
    assert expected.shape[1] in (count, 3)


def test_top_share_counts_one_pixel_at_least():
    maps = _random(2, 4, 4)
    np.testing.assert_array_equal(top_share(tf.constant(maps)), maps.max(axis=(1, 2)))
