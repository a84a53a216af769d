"""Finds the anomalies that hide among normal images."""

import dataclasses
from collections.abc import Mapping

import numpy as np

# Anomalies of one kind are near to each other: as many neighbours as there may be of them.
_NEIGHBOUR_SHARE = 0.05
_FEWEST_NEIGHBOURS = 10
# Once the most suspicious are out, they vouch for each other no longer.
_ROUNDS = 3
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class Suspects:
    """Images in the order of suspicion.

    Attributes:
        indices: Places among the normal images, int [N], the most suspicious first.
        scores: Their suspicion, float [N], descending; that of a typical image is 1.
    """

    indices: np.ndarray
    scores: np.ndarray

    def most_suspicious(self, share: float) -> np.ndarray:
        """Returns the indices of that share of the images."""
        return self.indices[: int(share * len(self.indices))]


def rank_suspects(
    features: Mapping[str, np.ndarray], trim: float, reference_size: int = 4_096, seed: int = 0
) -> Suspects:
    """Ranks images by their mean distance to their neighbours among the others.

    The distances of several feature spaces count alike: each is divided by its median. The ranking is
    repeated without the share `trim` of the most suspicious among the neighbours, as the concentration steps
    of the minimum covariance determinant are (Rousseeuw and Van Driessen 1999). Measured with random
    weights on class 8 of Fashion-MNIST with 10 % anomalies: 5 % instead of 1 % as neighbours and three rounds
    instead of one raise the share of the anomalies among the worst 20 % from .68 to .91. More neighbours find
    fewer of them, though more than 5 % of anomalies of one kind stay hidden.

    Args:
        features: Feature vectors of the same images by space, float [N, F].
        trim: Share that may be anomalous, in [0, 0.5).
        reference_size: Images that can be neighbours, at most: a random choice.
        seed: Of that choice.
    """
    images = len(next(iter(features.values())))
    chosen = np.sort(np.random.default_rng(seed).permutation(images)[:reference_size])
    neighbours = max(_FEWEST_NEIGHBOURS, round(_NEIGHBOUR_SHARE * len(chosen)))
    scores = np.zeros(images)
    suspicious = np.zeros(images, bool)
    for _ in range(_ROUNDS if trim else 1):
        references = chosen[~suspicious[chosen]]
        scores = np.zeros(images)
        for vectors in features.values():
            distances = _mean_distances(vectors, references, neighbours)
            scores += distances / max(float(np.median(distances)), 1e-12) / len(features)
        order = np.argsort(-scores, kind="stable")
        suspicious = np.zeros(images, bool)
        suspicious[order[: int(trim * images)]] = True
    return Suspects(order, scores[order])


def _mean_distances(vectors: np.ndarray, references: np.ndarray, neighbours: int) -> np.ndarray:
    """Returns the mean distance of each vector to its nearest references, not counting itself: float [N]."""
    vectors = (vectors - vectors.mean(axis=0)).astype(np.float32)
    known = vectors[references]
    squares = np.einsum("nd,nd->n", known, known)
    places = np.full(len(vectors), -1)
    places[references] = np.arange(len(references))
    # A vector is no neighbour of its own, and there are two or more.
    count = min(neighbours, len(references) - 1)
    means = np.zeros(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        distances = np.einsum("nd,nd->n", block, block)[:, None] + squares - 2 * block @ known.T
        own = places[start : start + _BLOCK]
        distances[np.flatnonzero(own >= 0), own[own >= 0]] = np.inf
        nearest = np.partition(distances, count - 1, axis=1)[:, :count]
        means[start : start + _BLOCK] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    return means
