"""Shift and matrix against numpy's covariance and scikit-learn's principal components."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from proganomaly.components.model.projection import fit_projection

SCALES = np.array([3.0, 1.0, 10.0, 0.3, 5.0, 0.01])


def _sample(count: int = 400) -> np.ndarray:
    random = np.random.default_rng(1)
    mixing = random.normal(size=(6, 6)) * SCALES
    return (random.normal(size=(count, 6)) @ mixing + 7).astype(np.float32)


def _projected(sample: np.ndarray, preprocessing: str, dimensions: int) -> np.ndarray:
    mean, matrix = fit_projection(sample, preprocessing, dimensions)
    assert (mean.dtype, matrix.dtype) == (np.float32, np.float32)
    return (sample - mean) @ matrix


def test_short_vectors_stay_as_they_are_around_their_mean():
    sample = _sample()
    projected = _projected(sample, "plain", 6)
    np.testing.assert_allclose(projected, sample - sample.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_wide_vectors_keep_their_principal_components(dimensions):
    sample = _sample()
    projected = _projected(sample, "plain", dimensions)
    assert projected.shape == (400, dimensions)
    expected = PCA(dimensions, svd_solver="full").fit_transform(sample.astype(np.float64))
    np.testing.assert_allclose(pdist(projected[:50]), pdist(expected[:50]), atol=1e-3)


def test_standardized_features_vary_alike():
    sample = _sample()
    variances = sample.var(axis=0)
    expected = variances / (variances + 0.01 * variances.max())
    np.testing.assert_allclose(_projected(sample, "standardized", 6).var(axis=0), expected, rtol=1e-3)


def test_whitened_features_have_unit_covariance_up_to_the_floor():
    sample = _sample()
    covariance = np.cov(_projected(sample, "whitened", 4), rowvar=False)
    variances = np.sort(np.linalg.eigvalsh(np.cov(sample, rowvar=False)))[::-1]
    np.testing.assert_allclose(
        covariance, np.diag(variances / (variances + 0.01 * variances[0]))[:4, :4], atol=1e-3
    )


@pytest.mark.parametrize("preprocessing", ["plain", "standardized", "whitened"])
@pytest.mark.parametrize("dimensions", [2, 6])
def test_constant_and_few_features_stay_finite(preprocessing, dimensions):
    for sample in (np.ones((10, 6), np.float32), _sample(3)):
        assert np.isfinite(_projected(sample, preprocessing, dimensions)).all()
