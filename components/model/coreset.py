"""A small set of feature vectors that stands for many: reservoir, then greedy coreset.

Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), section 3.2.
"""

import numpy as np

# Vectors that a few steps of the coreset look at, and that one product of matrices takes.
_POOL = 4_096
_BLOCK = 2_048


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
        if self._vectors is None:
            self._vectors = np.empty([0, *vectors.shape[1:]], vectors.dtype)
        free = self._size - len(self._keys)
        self._vectors = np.concatenate([self._vectors, vectors[:free]]) if free else self._vectors
        self._keys = np.concatenate([self._keys, keys[:free]])
        vectors, keys = vectors[free:], keys[free:]
        if len(keys):
            # In place: the sample may be a thousand times as large as what is new in it.
            limit = np.partition(np.concatenate([self._keys, keys]), self._size - 1)[self._size - 1]
            leaving, entering = self._keys > limit, keys <= limit
            self._vectors[leaving], self._keys[leaving] = vectors[entering], keys[entering]

    @property
    def vectors(self) -> np.ndarray:
        """The sample, float [at most size, D]."""
        if self._vectors is None:
            raise ValueError("no vectors were added to the reservoir")
        # In an order that does not depend on how the stream was cut.
        return self._vectors[np.argsort(self._keys)]


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
    # Around their mean, where float32 squares lose least.
    centred = np.ascontiguousarray(vectors - vectors.mean(axis=0), dtype=np.float32)
    squares = np.einsum("nd,nd->n", centred, centred)
    chosen = [int(np.argmin(squares))]
    distances, measured = np.full(len(vectors), np.inf, dtype=np.float32), 0
    while len(chosen) < size:
        # Distances only fall. While the farthest of a pool is farther than all outside were when they were
        # measured, it is the farthest of all: most steps look at the pool alone.
        _shorten(distances, centred, squares, chosen[measured:])
        measured = len(chosen)
        outside = max(len(vectors) - _POOL, 0)
        order = np.argpartition(distances, max(outside - 1, 0))
        limit, pool = distances[order[outside - 1]] if outside else -np.inf, order[outside:]
        own, own_squares, own_distances = centred[pool], squares[pool], distances[pool]
        while len(chosen) < size and own_distances.max() >= limit:
            farthest = int(np.argmax(own_distances))
            chosen.append(int(pool[farthest]))
            to_last = own_squares + own_squares[farthest] - 2 * (own @ own[farthest])
            np.minimum(own_distances, to_last, out=own_distances)
            own_distances[farthest] = -np.inf
    return vectors[chosen]


def _shorten(distances: np.ndarray, vectors: np.ndarray, squares: np.ndarray, chosen: list[int]) -> None:
    """Lowers the squared distances [N] to those of newly chosen vectors, in place."""
    new, new_squares = vectors[chosen], squares[chosen]
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        nearest = (new_squares - 2 * (vectors[part] @ new.T)).min(axis=1) + squares[part]
        np.minimum(distances[part], nearest, out=distances[part])
    distances[chosen] = -np.inf
