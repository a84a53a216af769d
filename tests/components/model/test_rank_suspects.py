"""The ranking of suspects against scikit-learn's neighbours, and on anomalies that cluster."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.model.suspects import rank_suspects


def _normals(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def _contaminated(anomalies: int) -> dict[str, np.ndarray]:
    """Two feature spaces; the anomalies come last, in four kinds, denser than the normals."""
    kinds = 3.0 * np.sign(_normals(4, seed=6))[np.arange(anomalies) % 4]
    strange = (kinds + 0.5 * _normals(anomalies, seed=1)).astype(np.float32)
    features = np.concatenate([_normals(300), strange])
    return {"one": features, "two": 100 * features @ np.diag([1, 1, 1, 1, 0, 0, 0, 0])}


def test_suspicion_is_the_mean_distance_to_the_others():
    features = _normals(60)
    suspects = rank_suspects({"one": features}, trim=0.0)
    distances = NearestNeighbors(n_neighbors=11).fit(features).kneighbors(features)[0][:, 1:].mean(axis=1)
    np.testing.assert_allclose(suspects.scores, np.sort(distances / np.median(distances))[::-1], rtol=1e-4)
    np.testing.assert_array_equal(suspects.indices, np.argsort(-distances))


def test_spaces_count_alike_whatever_their_units():
    features, other = _normals(60), _normals(60, seed=2)
    ranking = rank_suspects({"one": features, "two": other}, 0.0)
    scaled = rank_suspects({"one": 1e4 * features, "two": 1e-3 * other}, 0.0)
    np.testing.assert_array_equal(ranking.indices, scaled.indices)


@pytest.mark.parametrize("anomalies", [5, 30])
def test_anomalies_that_cluster_are_found(anomalies):
    trim = 1.5 * anomalies / (300 + anomalies)
    suspects = rank_suspects(_contaminated(anomalies), trim)
    assert set(range(300, 300 + anomalies)) <= set(suspects.most_suspicious(trim))
    assert np.all(np.diff(suspects.scores) <= 0)
    assert sorted(suspects.indices) == list(range(300 + anomalies))


def test_rounds_find_more_than_one_look():
    """As many anomalies of a kind as there are neighbours: they vouch for each other at first."""
    features = _contaminated(80)
    first, last = (rank_suspects(features, trim).most_suspicious(0.25) for trim in (0.0, 0.25))
    assert np.sum(first >= 300) < 50 < 60 < np.sum(last >= 300)


def test_neighbours_may_be_a_part_of_the_images():
    suspects = rank_suspects(_contaminated(5), 0.03, reference_size=100, seed=3)
    assert set(suspects.most_suspicious(0.02)) > set(range(300, 305))
    again = rank_suspects(_contaminated(5), 0.03, reference_size=100, seed=3)
    np.testing.assert_array_equal(suspects.scores, again.scores)


def test_equal_images_are_no_suspects():
    suspects = rank_suspects({"one": np.ones((20, 3), np.float32)}, 0.1)
    np.testing.assert_allclose(suspects.scores, 0)
    assert len(suspects.most_suspicious(0.1)) == 2
