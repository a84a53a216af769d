"""Frechet distance, KID, precision and recall against independent computations and known values."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.metrics.generation.features import (
    frechet_distance,
    kernel_distance,
    precision_and_recall,
)


def sets(seed: int, first: int = 40, second: int = 30, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(width, width))
    return (
        random.normal(size=(first, width)).astype(np.float32),
        (random.normal(0.5, 1, (second, width)) @ mixing).astype(np.float32),
    )


@given(seed=st.integers(0, 1000))
def test_frechet_distance_equals_the_formula_with_a_root_of_a_matrix(seed):
    first, second = sets(seed)
    covariances = [np.cov(features, rowvar=False, dtype=np.float64) for features in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((first.mean(0, np.float64) - second.mean(0, np.float64)) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_gaussians_has_the_closed_form():
    # Features with exactly these moments: corners of a box, scaled to unbiased variance.
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.sqrt(7 / 8)
    deviations, mean = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, -4.0])
    expected = 25 + np.sum((deviations - 1) ** 2)
    assert frechet_distance(corners, corners * deviations + mean) == pytest.approx(expected)


def test_frechet_distance_with_fewer_images_than_features_and_of_equal_sets():
    first, second = sets(3, first=6, second=4, width=50)
    covariances = [np.cov(features, rowvar=False, dtype=np.float64) for features in (first, second)]
    # The eigenvalues of a product of covariances are real and not negative, but for rounding.
    values = np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)
    mean = np.sum((first.mean(0, np.float64) - second.mean(0, np.float64)) ** 2)
    expected = mean + np.trace(sum(covariances)) - 2 * np.sqrt(values).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def brute_force_kid(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a, b):
        return (sum(p * q for p, q in zip(a.tolist(), b.tolist(), strict=True)) / len(a) + 1) ** 3

    total = 0.0
    for points in (x, y):
        values = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if i != j]
        total += sum(values) / len(values)
    return total - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kid_equals_loops_over_all_pairs():
    first, second = sets(4)
    expected = brute_force_kid(first, second)
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_kid_over_subsets_is_the_mean_of_theirs_and_near_the_whole():
    first, second = sets(5, 300, 200)
    random = np.random.default_rng(9)
    expected = []
    for _ in range(4):
        chosen = [points[random.choice(len(points), 20, replace=False)] for points in (first, second)]
        expected.append(brute_force_kid(*chosen))
    assert kernel_distance(first, second, 20, 4, seed=9) == pytest.approx(np.mean(expected), rel=1e-6)
    whole = kernel_distance(first, second)
    assert kernel_distance(first, second, 50, 400) == pytest.approx(whole, rel=0.1)


def test_kid_is_unbiased():
    values = [kernel_distance(*np.random.default_rng(seed).normal(size=(2, 10, 4))) for seed in range(400)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def brute_force_share(manifold: np.ndarray, points: np.ndarray, neighbours: int) -> float:
    inside = 0
    for point in points:
        for index, centre in enumerate(manifold):
            others = sorted(
                np.linalg.norm(centre - other) for place, other in enumerate(manifold) if place != index
            )
            if np.linalg.norm(point - centre) <= others[neighbours - 1]:
                inside += 1
                break
    return inside / len(points)


@given(seed=st.integers(0, 1000), neighbours=st.integers(1, 5))
def test_precision_and_recall_equal_brute_force(seed, neighbours):
    first, second = (points.astype(np.float64) for points in sets(seed, 14, 11, width=3))
    assert precision_and_recall(first, second, neighbours) == (
        brute_force_share(first, second, neighbours),
        brute_force_share(second, first, neighbours),
    )


def test_precision_and_recall_tell_poor_from_narrow():
    random = np.random.default_rng(6)
    real = np.concatenate([random.normal(side, 0.1, (50, 4)) for side in (-5, 5)])
    narrow = random.normal(5, 0.05, (60, 4))
    precision, recall = precision_and_recall(real, narrow)
    assert precision > 0.9
    assert recall <= 0.5
    precision, recall = precision_and_recall(real, real * 1.3)
    assert precision < 0.1
    assert precision_and_recall(real, real) == (1.0, 1.0)


def test_sets_larger_than_a_chunk_are_taken_whole(monkeypatch):
    first, second = sets(7, 60, 50)
    expected = precision_and_recall(first, second)
    monkeypatch.setattr("proganomaly.components.metrics.generation.features._CHUNK", 7)
    assert precision_and_recall(first, second) == expected


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, precision_and_recall])
def test_one_image_is_too_few(measure):
    with pytest.raises(ValueError, match="at least 2 images; received 1"):
        measure(np.ones((1, 3)), np.ones((5, 3)))
    assert np.all(np.isfinite(measure(np.ones((2, 3)), np.zeros((2, 3)))))
