"""Remembers what the features of normal images look like at every place of a feature map."""

import math

import numpy as np
import tensorflow as tf

from proganomaly.components.model.calibration import median_and_deviation
from proganomaly.components.model.coreset import Reservoir, greedy_coreset
from proganomaly.components.model.scoring import nearest_distances

# Directions in which normal features hardly vary would otherwise drown the others in noise.
_WHITENING_FLOOR = 0.01


class FeatureMemory(tf.Module):
    """A coreset of whitened feature vectors of one resolution, and the distance to it.

    Sources: nearest neighbours in a coreset of patch features, Roth et al. 2022 (PatchCore); whitening, which
    turns the distance into a Mahalanobis distance to the nearest reference, Defard et al. 2021 (PaDiM).

    Args:
        resolution: Side of the feature map in pixels.
        side: Locations along a side after averaging; a power of two, at most `resolution`.
    """

    def __init__(self, resolution: int, side: int) -> None:
        super().__init__(name=f"memory_{resolution}")
        self.resolution, self.side = resolution, side
        self.location, self.scale = 0.0, 1.0

    def vectors(self, feature_map: tf.Tensor) -> tf.Tensor:
        """Averages a map [N, R, R, D] down to one vector per location, [N, side * side, D]."""
        factor = self.resolution // self.side
        if factor > 1:
            feature_map = tf.nn.avg_pool2d(feature_map, factor, factor, "VALID")
        return tf.reshape(feature_map, [-1, self.side * self.side, feature_map.shape[-1]])

    def fit(self, reservoir: Reservoir, coreset_size: int) -> None:
        """Learns whitening and references from a sample of vectors."""
        sample = reservoir.vectors.astype(np.float64)
        mean = sample.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov(sample - mean, rowvar=False).reshape(len(mean), -1))
        floor = _WHITENING_FLOOR * max(float(variances.max()), 1e-12)
        whitening = directions / np.sqrt(np.maximum(variances, 0.0) + floor)
        references = greedy_coreset(((sample - mean) @ whitening).astype(np.float32), coreset_size)
        self.mean = tf.Variable(mean.astype(np.float32), trainable=False, name="mean")
        self.whitening = tf.Variable(whitening.astype(np.float32), trainable=False, name="whitening")
        self.references = tf.Variable(references, trainable=False, name="references")

    def distances(self, feature_map: tf.Tensor) -> tf.Tensor:
        """Returns how far each location is from anything normal: float [N, side, side]."""
        vectors = tf.matmul(self.vectors(feature_map) - self.mean, self.whitening)
        # Image by image, since the table of distances is large: locations times references.
        distances = tf.map_fn(lambda own: nearest_distances(own, self.references, neighbours=1), vectors)
        return tf.reshape(distances, [-1, self.side, self.side])

    def calibrate(self, distances: np.ndarray) -> None:
        """Learns what is usual from the distances of held-out normal images, [N, side, side]."""
        self.location, spread = median_and_deviation(distances)
        self.scale = max(spread, 1e-6)

    def anomaly_map(self, feature_map: tf.Tensor) -> tf.Tensor:
        """Returns the distances in units of their usual spread: float [N, side, side]."""
        return (self.distances(feature_map) - self.location) / self.scale


def memory_side(resolution: int, final_resolution: int, limit: int) -> int:
    """Returns the locations along a side: half of the final resolution is fine enough, `limit` affordable."""
    largest = min(resolution, max(final_resolution // 2, 1), limit)
    return 2 ** int(math.log2(largest))
