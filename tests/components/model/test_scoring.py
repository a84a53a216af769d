"""The scoring functions against scikit-learn, scipy and numpy."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given, settings
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.model.scoring import (
    latent_norm,
    nearest_distances,
    smoothed,
    top_share,
    transform_prediction,
)


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=8)
@given(st.integers(1, 6), st.integers(5, 40), st.integers(1, 9), st.integers(1, 5))
def test_nearest_distances_are_those_of_scikit_learn(count, references, size, neighbours):
    vectors, known = _random(count, size), _random(references, size, seed=1)
    distances, _ = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(known).kneighbors(vectors)
    found = nearest_distances(tf.constant(vectors), tf.constant(known), neighbours)
    np.testing.assert_allclose(found, distances.mean(axis=1), rtol=1e-5)


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


def test_latent_norm_counts_in_both_directions():
    latents = tf.constant([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])
    np.testing.assert_allclose(latent_norm(latents, 5.0, 2.0), [0.0, 2.0, 2.5])


def _tilted(count: int) -> np.ndarray:
    """Images that are bright at the bottom, and a little at the right."""
    ramp = np.linspace(0, 1, 8)
    tilted = (ramp[:, None] + 0.1 * ramp)[None, :, :, None]
    return (tilted + 0.01 * np.random.default_rng(0).normal(size=(count, 8, 8, 1))).astype(np.float32)


def _knows_flips(images: tf.Tensor) -> tf.Tensor:
    """Logits of "as it is" and "upside down": 10 and 0 the right way round."""
    is_flipped = tf.reduce_mean(images[:, :4], axis=[1, 2, 3]) > tf.reduce_mean(images[:, 4:], axis=[1, 2, 3])
    return 10.0 * tf.one_hot(tf.cast(is_flipped, tf.int32), 2)


def test_transform_prediction_is_low_where_the_head_knows():
    images = tf.constant(_tilted(3))
    known = transform_prediction(images, ("flip",), _knows_flips)
    np.testing.assert_allclose(known, np.log(1 + np.exp(-10)), rtol=1e-2)
    # An image that is upside down already is taken for the other kind every time.
    mistaken = transform_prediction(images[:, ::-1], ("flip",), _knows_flips)
    np.testing.assert_allclose(mistaken, np.log(1 + np.exp(10)), rtol=1e-5)


def test_transform_prediction_is_the_entropy_where_the_head_guesses():
    guess = transform_prediction(
        tf.constant(_tilted(2)), ("flip", "rotation"), lambda images: tf.zeros([tf.shape(images)[0], 6])
    )
    np.testing.assert_allclose(guess, np.log(2) + np.log(4), rtol=1e-5)


def test_transform_prediction_asks_for_every_transformation_once():
    seen = []

    def remember(images: tf.Tensor) -> tf.Tensor:
        seen.append(images.numpy()[0, :, :, 0])
        return tf.zeros([1, 13])

    transform_prediction(tf.constant(_tilted(1)), ("rotation", "shift"), remember)
    assert len(seen) == 1 + 3 + 8
    assert len(np.unique(np.round(seen, 4), axis=0)) == 12
