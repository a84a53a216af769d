"""Scores images with trained networks: the one implementation for calibration, evaluation and serving."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.calibration import Calibration, calibrate
from proganomaly.components.model.coreset import Reservoir, greedy_coreset
from proganomaly.components.model.networks import Networks, resolutions_up_to, to_network_range, to_uint8
from proganomaly.components.model.scoring import (
    nearest_distances,
    patch_features,
    pixel_residual,
    smoothed,
)
from proganomaly.components.model.settings import SCORE_COMPONENTS, ScoringSettings


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What the scorer says of a batch of images.

    Attributes:
        components: Each score component by name, float [N], higher = more anomalous.
        anomaly_map: How anomalous each pixel is, float [N, H, W].
        reconstruction: The images as generator and encoder know them, uint8 [N, H, W, C].
    """

    components: dict[str, tf.Tensor]
    anomaly_map: tf.Tensor
    reconstruction: tf.Tensor


class AnomalyScorer(tf.Module):
    """Networks, reference features and calibrations, in one module that can be saved.

    The taps: the discriminator's feature maps behind each downscaling (before the minibatch standard
    deviation), at `map_resolutions`, for the anomaly map; the encoder's activations before its last layer for
    the image as a whole.

    Args:
        networks: Trained networks.
        spec: Size and channels of the images.
        settings: How to score.
    """

    def __init__(self, networks: Networks, spec: ImageSpec, settings: ScoringSettings) -> None:
        super().__init__(name="anomaly_scorer")
        self.generator = networks.generator
        self.discriminator = networks.discriminator
        self.encoder = networks.encoder
        self.spec, self.settings = spec, settings
        self.map_resolutions = settings.map_resolutions or default_map_resolutions(spec.resolution)
        self.component_calibrations: dict[str, Calibration] = {}
        self.calibration: Calibration | None = None

    def fit(self, normal_images: Iterable[np.ndarray], seed: int = 0) -> None:
        """Learns the reference features from normal training images, batches of uint8 [N, H, W, C]."""
        reservoir = Reservoir(self.settings.reservoir_size, seed)
        codes = []
        for batch in normal_images:
            images = to_network_range(batch)
            patches = self._patches(images).numpy()
            reservoir.add(patches.reshape(-1, patches.shape[-1]))
            codes.append(self.encoder.features(images).numpy())
        patches = reservoir.vectors
        # Levels differ in magnitude; whitened by their standard deviation each has its say.
        patch_scale = 1.0 / (patches.std(axis=0) + 1e-6)
        self.patch_scale = tf.Variable(patch_scale, trainable=False, name="patch_scale")
        self.patch_references = tf.Variable(
            greedy_coreset(patches * patch_scale, self.settings.coreset_size),
            trainable=False,
            name="patch_references",
        )
        references = np.concatenate(codes)
        chosen = np.random.default_rng(seed).permutation(len(references))[: self.settings.reference_images]
        self.encoder_references = tf.Variable(references[chosen], trainable=False, name="encoder_references")

    def calibrate(self, normal_images: Iterable[np.ndarray]) -> None:
        """Learns what normal scores are from held-out normal images, batches of uint8 [N, H, W, C]."""
        explain = tf.function(lambda images: self.explain(images).components, reduce_retracing=True)
        parts = [explain(to_network_range(batch)) for batch in normal_images]
        components = {name: np.concatenate([part[name] for part in parts]) for name in SCORE_COMPONENTS}
        self.component_calibrations = {
            name: calibrate(components[name]) for name in self.settings.members
        }
        self.calibration = calibrate(self.fused(components).numpy())

    def explain(self, images: tf.Tensor) -> Explanation:
        """Scores images, float [N, H, W, C] in [-1, 1], by every component."""
        side = max(self.map_resolutions)
        patches = self._patches(images) * self.patch_scale
        # Image by image, since the table of distances is large: locations times references.
        distances = tf.map_fn(
            lambda vectors: nearest_distances(vectors, self.patch_references, neighbours=1),
            tf.reshape(patches, [-1, side * side, patches.shape[-1]]),
        )
        anomaly_map = smoothed(
            tf.reshape(distances, [-1, side, side]),
            self.spec.resolution,
            self.settings.smoothing * self.spec.resolution,
        )
        reconstructions = self.generator(self.encoder(images))
        components = {
            "map_max": tf.reduce_max(anomaly_map, axis=[1, 2]),
            "map_mean": tf.reduce_mean(anomaly_map, axis=[1, 2]),
            "encoder_knn": nearest_distances(
                self.encoder.features(images), self.encoder_references, self.settings.neighbours
            ),
            "pixel_residual": pixel_residual(images, reconstructions),
        }
        return Explanation(components, anomaly_map, to_uint8(reconstructions))

    def fused(self, components: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the score: the mean robust z of the members, float [N]."""
        return tf.add_n(
            [self.component_calibrations[name].robust_z(components[name]) for name in self.settings.members]
        ) / len(self.settings.members)

    def verdict(self, components: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns score, normalized_score, p_value, is_anomaly and threshold, each [N]."""
        assert self.calibration is not None, "calibrate first"
        score = self.fused(components)
        threshold = self.calibration.threshold(self.settings.false_positive_rate)
        return {
            "score": score,
            "normalized_score": self.calibration.normalized(score),
            "p_value": self.calibration.p_value(score),
            "is_anomaly": score > threshold,
            "threshold": tf.fill(tf.shape(score), tf.constant(threshold, tf.float32)),
        }

    def _patches(self, images: tf.Tensor) -> tf.Tensor:
        return patch_features(self.discriminator.trunk(images), self.map_resolutions)


def default_map_resolutions(resolution: int) -> tuple[int, ...]:
    """Returns the resolutions from 8 to half of the final one, but no more than 32."""
    candidates = resolutions_up_to(max(resolution // 2, 4))
    return tuple(level for level in candidates if 8 <= level <= 32) or (4,)

