"""Distances between the features of two sets of images.

All take float [N, D] and [M, D], the features of real images first, and know nothing of where they come from.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Features = NDArray[np.floating]

# Rows of a matrix of distances that are held at a time.
_CHUNK = 1_024


def frechet_distance(real: Features, generated: Features) -> float:
    """Returns the squared Frechet distance of the Gaussians with the sets' means and covariances.

    Heusel et al. 2017, equation 6: |m - w|^2 + tr(C + D - 2 (C D)^(1/2)). The eigenvalues of C D are the
    squared singular values of X Y^T, X and Y the centred features that make C and D: the trace of the root
    is their sum, which holds for fewer images than features as well and needs no root of a matrix.

    Args:
        real: At least 2 features.
        generated: At least 2 features.

    Raises:
        ValueError: a set has fewer.
    """
    means, roots, traces = [], [], []
    for features in (real, generated):
        if len(features) < 2:
            raise ValueError(f"a covariance needs at least 2 images; received {len(features)}")
        values = features.astype(np.float64)
        means.append(values.mean(axis=0))
        centred = (values - means[-1]) / np.sqrt(len(values) - 1)
        traces.append(np.sum(centred**2))
        # Of the same covariance, but with no more rows than columns.
        roots.append(np.asarray(np.linalg.qr(centred, mode="r")))
    cross = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(max(np.sum((means[0] - means[1]) ** 2) + sum(traces) - 2 * cross, 0.0))


def kernel_distance(
    real: Features, generated: Features, subset_size: int = 1_000, subsets: int = 100, seed: int = 0
) -> float:
    """Returns the KID: the unbiased squared maximum mean discrepancy (Binkowski et al. 2018, section 4).

    The kernel is (x . y / D + 1)^3. Being unbiased, the value may be below 0 for sets that are alike.

    Args:
        real: At least 2 features.
        generated: At least 2 features.
        subset_size: Images of each set in a subset. Where neither set has two such subsets, the sets are
            taken whole.
        subsets: Number of random subsets, whose values are averaged.
        seed: Of the subsets.

    Raises:
        ValueError: a set has fewer.
    """
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"the distance needs at least 2 images; received {min(len(real), len(generated))}")
    real, generated = real.astype(np.float64), generated.astype(np.float64)
    if max(len(real), len(generated)) <= 2 * subset_size:
        return _discrepancy(real, generated)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        chosen = [
            features[random.choice(len(features), min(subset_size, len(features)), replace=False)]
            for features in (real, generated)
        ]
        values.append(_discrepancy(*chosen))
    return float(np.mean(values))


def precision_and_recall(real: Features, generated: Features, neighbours: int = 3) -> tuple[float, float]:
    """Returns how many generated images look real, and how much of the real ones is covered.

    Kynkaanniemi et al. 2019, equations 1 and 2: a set's manifold is the union of the balls around its images
    that reach to the k-th nearest other image of the set. Precision is the share of generated images in the
    manifold of the real ones, recall the reverse.

    Args:
        real: At least 2 features.
        generated: At least 2 features.
        neighbours: k; at most a set's size less 1 is taken.

    Raises:
        ValueError: a set has fewer.
    """
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"a manifold needs at least 2 images; received {min(len(real), len(generated))}")
    return _covered(real, generated, neighbours), _covered(generated, real, neighbours)


def _discrepancy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_of_others(values: NDArray[np.float64]) -> float:
        return float((values.sum() - np.trace(values)) / (len(values) * (len(values) - 1)))

    return mean_of_others(kernel(x, x)) + mean_of_others(kernel(y, y)) - 2 * float(kernel(x, y).mean())


def _covered(manifold: Features, features: Features, neighbours: int) -> float:
    """Returns the share of `features` in the manifold of the others."""
    order = min(neighbours, len(manifold) - 1)
    radii = np.concatenate(
        [
            # The nearest of all is the image itself.
            np.partition(cdist(manifold[start : start + _CHUNK], manifold), order, axis=1)[:, order]
            for start in range(0, len(manifold), _CHUNK)
        ]
    )
    inside = [
        (cdist(features[start : start + _CHUNK], manifold) <= radii).any(axis=1)
        for start in range(0, len(features), _CHUNK)
    ]
    return float(np.mean(np.concatenate(inside)))
