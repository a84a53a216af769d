"""The reservoir against the uniform distribution, the coreset against its definition and against chance."""

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist

from proganomaly.components.model.coreset import Reservoir, greedy_coreset


def _clusters(seed: int = 0) -> np.ndarray:
    """Many vectors in a few dense clusters and some far from any."""
    random = np.random.default_rng(seed)
    dense = random.normal(size=(4, 1, 6)) * 5 + random.normal(size=(4, 200, 6)) * 0.3
    return np.concatenate([dense.reshape(-1, 6), random.normal(size=(20, 6)) * 10]).astype(np.float32)


def _radius(vectors: np.ndarray, chosen: np.ndarray) -> float:
    return cdist(vectors, chosen).min(axis=1).max()


def test_coreset_is_the_greedy_one():
    vectors = _clusters()
    chosen = [int(np.argmin(((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1)))]
    while len(chosen) < 30:
        chosen.append(int(np.argmax(cdist(vectors, vectors[chosen]).min(axis=1))))
    np.testing.assert_array_equal(greedy_coreset(vectors, 30), vectors[chosen])


def test_coreset_covers_better_than_chance():
    vectors = _clusters()
    random = np.random.default_rng(1)
    by_chance = [_radius(vectors, random.choice(vectors, 24, replace=False)) for _ in range(20)]
    assert _radius(vectors, greedy_coreset(vectors, 24)) < 0.5 * min(by_chance)


def test_coreset_is_a_pure_function_and_a_subset():
    vectors = _clusters()
    before = vectors.copy()
    first, second = greedy_coreset(vectors, 50), greedy_coreset(vectors, 50)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(vectors, before)
    assert len(np.unique(first, axis=0)) == 50
    assert cdist(first, vectors).min(axis=1).max() == 0


@pytest.mark.parametrize("size", [5, 9])
def test_coreset_of_few_vectors_is_all_of_them(size):
    vectors = _clusters()[:5]
    np.testing.assert_array_equal(greedy_coreset(vectors, size), vectors)


def test_coreset_chooses_no_vector_twice_though_all_are_equal():
    assert greedy_coreset(np.ones((10, 3), np.float32), 4).shape == (4, 3)


def test_reservoir_keeps_what_it_was_given_up_to_its_size():
    reservoir = Reservoir(10)
    reservoir.add(np.arange(4.0)[:, None])
    assert sorted(reservoir.vectors[:, 0]) == [0, 1, 2, 3]
    for start in (4, 8, 200):
        reservoir.add(np.arange(float(start), start + 50)[:, None])
    assert reservoir.vectors.shape == (10, 1)
    assert len(np.unique(reservoir.vectors)) == 10


def test_reservoir_is_uniform_over_the_stream():
    counts = np.zeros(40)
    for seed in range(600):
        reservoir = Reservoir(10, seed)
        for start, end in ((0, 3), (3, 25), (25, 26), (26, 40)):
            reservoir.add(np.arange(start, end)[:, None])
        counts[reservoir.vectors[:, 0]] += 1
    assert counts.sum() == 6000
    # Drawing without replacement varies less than the multinomial of the test: an honest sample passes.
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_reservoir_is_a_pure_function_of_its_seed():
    samples = []
    for seed in (1, 1, 2):
        reservoir = Reservoir(10, seed)
        reservoir.add(np.arange(100)[:, None])
        samples.append(reservoir.vectors)
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.array_equal(samples[0], samples[2])


def test_an_empty_reservoir_says_so():
    with pytest.raises(ValueError, match="no vectors"):
        _ = Reservoir(10).vectors
