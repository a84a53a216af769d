"""How far the features of a whole image are from those of normal images."""

import numpy as np
import tensorflow as tf
from sklearn.covariance import LedoitWolf

from proganomaly.components.model.projection import fit_projection
from proganomaly.components.model.scoring import nearest_distances


class FeatureDensity(tf.Module):
    """A reference set of feature vectors, or the Gaussian through it, and the distance to it.

    Sources: nearest neighbours in a feature space, Bergman et al. 2020, "Deep nearest neighbor anomaly
    detection"; Mahalanobis distance, Lee et al. 2018, "A simple unified framework for detecting
    out-of-distribution samples"; its covariance is shrunk as by Ledoit and Wolf 2004.

    Args:
        name: Of the score component.
        density: "neighbours" or "mahalanobis".
        neighbours: Nearest neighbours averaged.
        preprocessing: See `fit_projection`.
        projection: Dimensions of a reference vector, at most.
    """

    def __init__(
        self,
        name: str,
        density: str,
        neighbours: int = 1,
        preprocessing: str = "plain",
        projection: int = 128,
    ) -> None:
        super().__init__(name=name)
        self._density, self._neighbours = density, neighbours
        self._preprocessing, self._projection = preprocessing, projection

    def fit(self, sample: np.ndarray, seed: int = 0) -> None:
        """Learns from features of normal images, float [N, F]."""
        mean, matrix = fit_projection(sample, self._preprocessing, self._projection, seed)
        projected = (sample - mean) @ matrix
        if self._density == "mahalanobis":
            matrix = (matrix @ _whitening(projected)).astype(np.float32)
        else:
            self.references = tf.Variable(projected, trainable=False, name="references")
        self.mean = tf.Variable(mean, trainable=False, name="mean")
        self.matrix = tf.Variable(matrix, trainable=False, name="matrix")

    def distances(self, features: tf.Tensor) -> tf.Tensor:
        """Returns how far vectors, float [N, F], are from normal ones: float [N], 0 and above."""
        vectors = tf.matmul(features - self.mean, self.matrix)
        if self._density == "mahalanobis":
            return tf.norm(vectors, axis=1)
        return nearest_distances(vectors, self.references, self._neighbours)


def _whitening(vectors: np.ndarray) -> np.ndarray:
    """Returns the matrix behind which the length of a vector is its Mahalanobis distance, [D, D]."""
    variances, directions = np.linalg.eigh(LedoitWolf().fit(vectors.astype(np.float64)).covariance_)
    # Where all vectors are equal nothing is shrunk to.
    return directions / np.sqrt(np.maximum(variances, max(1e-6 * variances.max(), 1e-12)))
