"""Distances of whole images' features against scikit-learn's."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.model.density import FeatureDensity


def _features(count: int, seed: int = 0) -> np.ndarray:
    mixing = np.random.default_rng(9).normal(size=(7, 7)) * [1, 3, 0.5, 4, 0.1, 1, 2]
    return (np.random.default_rng(seed).normal(size=(count, 7)) @ mixing - 3).astype(np.float32)


@pytest.mark.parametrize("neighbours", [1, 5])
def test_neighbours_are_those_of_scikit_learn(neighbours):
    density = FeatureDensity("d", "neighbours", neighbours)
    density.fit(_features(80))
    search = NearestNeighbors(n_neighbors=neighbours).fit(_features(80))
    expected = search.kneighbors(_features(9, seed=1))[0].mean(axis=1)
    np.testing.assert_allclose(density.distances(tf.constant(_features(9, seed=1))), expected, rtol=1e-5)


def test_a_reference_is_at_distance_0():
    density = FeatureDensity("d", "neighbours")
    density.fit(_features(80) + 1000)
    np.testing.assert_array_equal(density.distances(tf.constant(_features(80) + 1000)), 0)


def test_mahalanobis_is_the_one_with_the_covariance_of_ledoit_and_wolf():
    density = FeatureDensity("d", "mahalanobis")
    density.fit(_features(40))
    expected = np.sqrt(LedoitWolf().fit(_features(40)).mahalanobis(_features(9, seed=1)))
    np.testing.assert_allclose(density.distances(tf.constant(_features(9, seed=1))), expected, rtol=1e-3)


@pytest.mark.parametrize("density", ["neighbours", "mahalanobis"])
def test_wide_features_are_projected(density):
    fitted = FeatureDensity("d", density, projection=3)
    fitted.fit(_features(40))
    widths = {variable.shape[-1] for variable in fitted.variables if variable is not fitted.mean}
    assert widths == {3}
    distances = fitted.distances(tf.constant(np.concatenate([_features(40), 99 + _features(9)])))
    assert np.max(distances[:40]) < np.min(distances[40:])


def test_the_gaussian_needs_no_reference_set():
    sizes = {}
    for density in ("neighbours", "mahalanobis"):
        fitted = FeatureDensity("d", density)
        fitted.fit(_features(200))
        sizes[density] = sum(np.prod(variable.shape) for variable in fitted.variables)
    assert sizes == {"neighbours": 7 + 49 + 200 * 7, "mahalanobis": 7 + 49}


@pytest.mark.parametrize("density", ["neighbours", "mahalanobis"])
def test_equal_images_give_finite_distances(density):
    fitted = FeatureDensity("d", density)
    fitted.fit(np.ones((20, 7), np.float32))
    distances = fitted.distances(tf.constant(np.stack([np.ones(7), np.arange(7)]).astype(np.float32)))
    assert np.isfinite(distances).all() and distances[0] < distances[1]
