"""A small set of feature vectors that stands for many: reservoir, then greedy coreset.

Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), section 3.2.
"""

import numpy as np


class Reservoir:
    """A uniform sample of fixed size from a stream of vectors: those with the smallest random keys.

    Args:
        size: Vectors kept, at most.
        seed: Seed of the sample.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size, self._random = size, np.random.default_rng(seed)
        self._vectors: np.ndarray | None = None
        self._keys = np.empty(0)

    def add(self, vectors: np.ndarray) -> None:
        """Offers vectors, float [N, D], to the sample."""
        keys = self._random.random(len(vectors))
        if self._vectors is not None:
            vectors, keys = np.concatenate([self._vectors, vectors]), np.concatenate([self._keys, keys])
        kept = np.argsort(keys)[: self._size]
        self._vectors, self._keys = vectors[kept], keys[kept]

    @property
    def vectors(self) -> np.ndarray:
        """The sample, float [at most size, D]."""
        if self._vectors is None:
            raise ValueError("no vectors were added to the reservoir")
        return self._vectors


def greedy_coreset(vectors: np.ndarray, size: int) -> np.ndarray:
    """Chooses vectors so that every vector has a chosen one near it (k-center, greedily).

    Each step takes the vector that is farthest from all chosen ones; the first is the one nearest to the
    mean, so the result is a pure function of the input.

    Args:
        vectors: float [N, D].
        size: Vectors to choose.

    Returns:
        float [min(N, size), D].
    """
    if len(vectors) <= size:
        return vectors
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    squares = np.einsum("nd,nd->n", vectors, vectors)
    centred = vectors - vectors.mean(axis=0)
    chosen = [int(np.argmin(np.einsum("nd,nd->n", centred, centred)))]
    distances = np.full(len(vectors), np.inf, dtype=np.float32)
    for _ in range(size - 1):
        last = chosen[-1]
        to_last = squares + squares[last] - 2 * (vectors @ vectors[last])
        np.minimum(distances, to_last, out=distances)
        distances[last] = -np.inf
        chosen.append(int(np.argmax(distances)))
    return vectors[chosen]
