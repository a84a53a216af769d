"""The memory of normal features against numpy's covariance and scipy's Mahalanobis distance."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from proganomaly.components.model.memory import FeatureMemory, memory_side

MIXING = np.random.default_rng(9).normal(size=(5, 5)) * [1.0, 3.0, 0.5, 10.0, 0.02]


def _features(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Feature maps whose channels are correlated and of unequal size."""
    return (np.random.default_rng(seed).normal(size=(count, side, side, 5)) @ MIXING + 4).astype(np.float32)


def _fitted(feature_maps: np.ndarray, side: int, coreset_size: int) -> FeatureMemory:
    memory = FeatureMemory(feature_maps.shape[1], side)
    memory.fit(memory.sample(tf.constant(feature_maps)), coreset_size)
    return memory


def test_whitening_gives_unit_covariance_up_to_the_floor():
    feature_maps = _features(100, 4)
    memory = _fitted(feature_maps, 4, 10_000)
    # All vectors are references here, so the whitened ones can be looked at.
    covariance = np.cov(memory.references.numpy(), rowvar=False)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3)
    variances = np.linalg.eigvalsh(np.cov(feature_maps.reshape(-1, 5), rowvar=False))
    floor = 0.01 * variances.max()
    np.testing.assert_allclose(np.sort(np.diag(covariance)), variances / (variances + floor), rtol=1e-2)
    np.testing.assert_allclose(memory.references.numpy().mean(axis=0), 0, atol=1e-4)


def test_distance_is_mahalanobis_to_the_nearest_reference():
    feature_maps, asked = _features(30, 4), _features(3, 4, seed=1)
    memory = _fitted(feature_maps, 4, 10_000)
    vectors = feature_maps.reshape(-1, 5).astype(np.float64)
    covariance = np.cov(vectors, rowvar=False)
    covariance += 0.01 * np.linalg.eigvalsh(covariance).max() * np.eye(5)
    expected = cdist(asked.reshape(-1, 5), vectors, "mahalanobis", VI=np.linalg.inv(covariance)).min(axis=1)
    found = memory.distances(tf.constant(asked))
    assert found.shape == (3, 4, 4)
    np.testing.assert_allclose(found, expected.reshape(3, 4, 4), atol=2e-3)


def test_a_reference_is_at_distance_0_and_a_stranger_is_not():
    feature_maps = _features(10, 4)
    memory = _fitted(feature_maps, 4, 10_000)
    np.testing.assert_allclose(memory.distances(tf.constant(feature_maps[:2])), 0, atol=5e-3)
    assert np.min(memory.distances(tf.constant(feature_maps[:2] + 100))) > 1


def test_the_coreset_is_as_large_as_asked():
    assert _fitted(_features(10, 4), 4, 7).references.shape == (7, 5)


def test_maps_are_averaged_down_to_the_side():
    feature_maps = _features(2, 8)
    vectors = FeatureMemory(8, 4).vectors(feature_maps)
    expected = feature_maps.reshape(2, 4, 2, 4, 2, 5).mean(axis=(2, 4)).reshape(2, 16, 5)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert _fitted(feature_maps, 4, 100).distances(tf.constant(feature_maps)).shape == (2, 4, 4)


def test_distances_are_told_in_units_of_the_usual_spread():
    memory = _fitted(_features(30, 4), 4, 50)
    held_out = memory.distances(tf.constant(_features(50, 4, seed=1))).numpy()
    memory.calibrate(held_out)
    found = memory.in_spreads(held_out)
    np.testing.assert_allclose(np.median(found), 0, atol=1e-4)
    assert np.mean(found < 1) == pytest.approx(0.8413, abs=0.005)


def test_constant_features_give_finite_distances():
    memory = _fitted(np.ones((4, 4, 4, 5), np.float32), 4, 10)
    distances = memory.distances(tf.constant(_features(2, 4))).numpy()
    assert np.isfinite(distances).all() and distances.min() > 0
    memory.calibrate(np.zeros((3, 4, 4)))
    assert np.isfinite(memory.in_spreads(distances)).all()


@pytest.mark.parametrize(
    "resolution, final, limit, side",
    [
        (64, 64, 64, 32),
        (32, 64, 64, 32),
        (16, 64, 64, 16),
        (1024, 1024, 64, 64),
        (64, 64, 20, 16),
        (4, 4, 64, 2),
    ],
)
def test_memory_side(resolution, final, limit, side):
    assert memory_side(resolution, final, limit) == side
