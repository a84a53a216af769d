"""Shift and matrix that make feature vectors short and their directions comparable."""

import numpy as np
from sklearn.decomposition import PCA

# Directions in which normal features hardly vary would otherwise drown the others in noise.
_FLOOR = 0.01


def fit_projection(
    sample: np.ndarray, preprocessing: str, dimensions: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean [F] and the matrix [F, D] of x -> (x - mean) @ matrix, both float32.

    Vectors wider than `dimensions` lose all but the principal components of the sample. A Gaussian random
    projection does as well on average (Fashion-MNIST, kNN on 1024 features reduced to 128: image AUROC within
    .005 of all features, by seed) but not every time; principal components were within .001.

    Args:
        sample: Features of normal images, float [N, F].
        preprocessing: "plain"; "standardized", unit variance of each feature; or "whitened", unit variance of
            each principal component. A hundredth of the largest variance is added to all.
        dimensions: D, at most.
        seed: Of the approximate decomposition of very wide vectors.
    """
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = (sample - mean).astype(np.float32, copy=False)
    scales = np.ones(centred.shape[1])
    if preprocessing == "standardized":
        scales = _regularized_deviations(centred.var(axis=0, dtype=np.float64))
        centred /= scales.astype(np.float32)
    if preprocessing != "whitened" and centred.shape[1] <= dimensions:
        matrix = np.diag(1.0 / scales)
    else:
        directions, variances = _principal_components(centred, dimensions, seed)
        matrix = directions / scales[:, None]
        if preprocessing == "whitened":
            matrix = matrix / _regularized_deviations(variances)
    return mean, matrix.astype(np.float32)


def _regularized_deviations(variances: np.ndarray) -> np.ndarray:
    return np.sqrt(variances + _FLOOR * max(float(variances.max()), 1e-12))


def _principal_components(centred: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns directions [F, D] and the variances along them [D]."""
    pca = PCA(min(count, *centred.shape), random_state=seed)
    # Constant features have no share of the variance, which scikit-learn would warn of.
    with np.errstate(invalid="ignore"):
        pca.fit(centred)
    return pca.components_.T, np.maximum(pca.explained_variance_, 0.0)
