"""Remembers what the features of normal images look like at every place of a feature map."""

import math

import numpy as np
import tensorflow as tf

from proganomaly.components.model.calibration import median_and_deviation
from proganomaly.components.model.coreset import greedy_coreset
from proganomaly.components.model.networks import resolutions_up_to
from proganomaly.components.model.projection import fit_projection
from proganomaly.components.model.scoring import nearest_distances


class FeatureMemory(tf.Module):
    """A coreset of whitened feature vectors of one network and resolution, and the distance to it.

    Sources: nearest neighbours in a coreset of patch features, Roth et al. 2022 (PatchCore); whitening, which
    turns the distance into a Mahalanobis distance to the nearest reference, Defard et al. 2021 (PaDiM).

    Args:
        resolution: Side of the feature map in pixels.
        side: Locations along a side after averaging; a power of two, at most `resolution`.
        network: Whose map it is, "discriminator" or "encoder".
        projection: Length of a reference vector, at most.
        position: How much the place counts, in deviations of a feature per half of the side.
    """

    def __init__(
        self,
        resolution: int,
        side: int,
        network: str = "discriminator",
        projection: int = 128,
        position: float = 0.0,
    ) -> None:
        super().__init__(name=f"memory_{network}_{resolution}")
        self.resolution, self.side, self.network = resolution, side, network
        self._projection = projection
        steps = (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
        places = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        self._places = position * places if position else places[:, :0]
        self.location, self.scale = 0.0, 1.0

    def vectors(self, feature_map: tf.Tensor) -> tf.Tensor:
        """Averages a map [N, R, R, D] down to one vector per location, [N, side * side, D]."""
        factor = self.resolution // self.side
        if factor > 1:
            feature_map = tf.nn.avg_pool2d(feature_map, factor, factor, "VALID")
        return tf.reshape(feature_map, [-1, self.side * self.side, feature_map.shape[-1]])

    def sample(self, feature_map: tf.Tensor) -> np.ndarray:
        """Returns the vectors of a batch and their places behind them, as `fit` takes them: float [M, D']."""
        vectors = self.vectors(feature_map).numpy()
        places = np.broadcast_to(self._places, (*vectors.shape[:2], self._places.shape[1]))
        return np.concatenate([vectors, places], axis=2).reshape(-1, vectors.shape[2] + places.shape[2])

    def fit(self, sample: np.ndarray, coreset_size: int, seed: int = 0) -> None:
        """Learns whitening and references from vectors that `sample` returned, float [M, D']."""
        features, places = np.split(sample, [sample.shape[1] - self._places.shape[1]], axis=1)
        mean, whitening = fit_projection(features, "whitened", self._projection, seed)
        whitened = np.concatenate([(features - mean) @ whitening, places], axis=1)
        self.mean = tf.Variable(mean, trainable=False, name="mean")
        self.whitening = tf.Variable(whitening, trainable=False, name="whitening")
        references = greedy_coreset(whitened, coreset_size)
        self.references = tf.Variable(references, trainable=False, name="references")

    def distances(self, feature_map: tf.Tensor) -> tf.Tensor:
        """Returns how far each location is from anything normal: float [N, side, side]."""
        vectors = tf.matmul(self.vectors(feature_map) - self.mean, self.whitening)

        def image_distances(own: tf.Tensor) -> tf.Tensor:
            return nearest_distances(tf.concat([own, self._places], axis=1), self.references, neighbours=1)

        # Image by image, since the table of distances is large: locations times references.
        return tf.reshape(tf.map_fn(image_distances, vectors), [-1, self.side, self.side])

    def calibrate(self, distances: np.ndarray) -> None:
        """Learns what is usual from the distances of held-out normal images, [N, side, side]."""
        self.location, spread = median_and_deviation(distances)
        self.scale = max(spread, 1e-6)

    def in_spreads(self, distances: tf.Tensor) -> tf.Tensor:
        """Returns distances of any shape in units of their usual spread around the usual one."""
        return (distances - self.location) / self.scale


def memory_side(resolution: int, final_resolution: int, limit: int) -> int:
    """Returns the locations along a side: half of the final resolution is fine enough, `limit` affordable."""
    largest = min(resolution, max(final_resolution // 2, 1), limit)
    return 2 ** int(math.log2(largest))


def default_map_resolutions(resolution: int) -> tuple[int, ...]:
    """Returns the three finest resolutions from 8 pixels up."""
    return tuple(level for level in resolutions_up_to(resolution) if level >= 8)[-3:] or (4,)
