"""Scores images with trained networks: the one implementation for calibration, evaluation and serving."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.calibration import Calibration, calibrate
from proganomaly.components.model.coreset import Reservoir
from proganomaly.components.model.memory import FeatureMemory, memory_side
from proganomaly.components.model.networks import Networks, resolutions_up_to, to_network_range, to_uint8
from proganomaly.components.model.scoring import nearest_distances, pixel_residual, smoothed, top_share
from proganomaly.components.model.settings import ScoringSettings

# Pixels of calibration maps that the pixel threshold is taken from.
_CALIBRATION_PIXELS = 1_000_000


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

    The taps: the discriminator's feature maps behind the first convolution of each block (far before its
    minibatch standard deviation) for the anomaly map; the encoder's activations before its last layer for the
    image as a whole.

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
        self.memories = [
            FeatureMemory(resolution, memory_side(resolution, spec.resolution, settings.map_side))
            for resolution in settings.map_resolutions or default_map_resolutions(spec.resolution)
        ]
        self.component_calibrations: dict[str, Calibration] = {}
        self.calibration: Calibration | None = None
        self.pixel_threshold = 0.0

    def fit(self, normal_images: Callable[[], Iterable[np.ndarray]], seed: int = 0) -> None:
        """Learns the reference features from normal training images.

        Args:
            normal_images: Gives the batches of uint8 [N, H, W, C].
            seed: Seed of the samples that are kept.
        """
        reservoirs = [Reservoir(self.settings.reservoir_size, seed) for _ in self.memories]
        codes = []
        for batch in normal_images():
            images = to_network_range(batch)
            feature_maps = self.discriminator.trunk.feature_maps(images)
            for memory, reservoir in zip(self.memories, reservoirs, strict=True):
                vectors = memory.vectors(feature_maps[memory.resolution]).numpy()
                reservoir.add(vectors.reshape(-1, vectors.shape[-1]))
            codes.append(self.encoder.features(images).numpy())
        for memory, reservoir in zip(self.memories, reservoirs, strict=True):
            memory.fit(reservoir, self.settings.coreset_size)
        references = np.concatenate(codes)
        chosen = np.random.default_rng(seed).permutation(len(references))[: self.settings.reference_images]
        self.encoder_references = tf.Variable(references[chosen], trainable=False, name="encoder_references")

    def calibrate(self, normal_images: Callable[[], Iterable[np.ndarray]]) -> None:
        """Learns what is usual from held-out normal images.

        Args:
            normal_images: Gives the batches of uint8 [N, H, W, C]; called twice, since the scores can only
                be calibrated when the maps are.
        """

        def explain_batch(images: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            explanation = self.explain(images)
            return explanation.components, explanation.anomaly_map

        distances = tf.function(self._distances, reduce_retracing=True)
        by_batch = [distances(to_network_range(batch)) for batch in normal_images()]
        for index, memory in enumerate(self.memories):
            memory.calibrate(np.concatenate([batch[index] for batch in by_batch]))
        explain = tf.function(explain_batch, reduce_retracing=True)
        pixels = Reservoir(_CALIBRATION_PIXELS)
        parts = []
        for batch in normal_images():
            components, anomaly_map = explain(to_network_range(batch))
            pixels.add(anomaly_map.numpy().reshape(-1, 1))
            parts.append(components)
        self.pixel_threshold = float(np.quantile(pixels.vectors, 1.0 - self.settings.false_positive_rate))
        components = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.component_calibrations = {name: calibrate(components[name]) for name in self.settings.members}
        self.calibration = calibrate(self.fused(components).numpy())

    def explain(self, images: tf.Tensor) -> Explanation:
        """Scores images, float [N, H, W, C] in [-1, 1], by every component."""
        anomaly_map = self._anomaly_map(images)
        features = self.encoder.features(images)
        reconstructions = self.generator(self.encoder.latent(features))
        components = {
            "map_top": top_share(anomaly_map),
            "map_max": tf.reduce_max(anomaly_map, axis=[1, 2]),
            "map_mean": tf.reduce_mean(anomaly_map, axis=[1, 2]),
            "encoder_density": nearest_distances(features, self.encoder_references, self.settings.neighbours),
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

    def _distances(self, images: tf.Tensor) -> list[tf.Tensor]:
        feature_maps = self.discriminator.trunk.feature_maps(images)
        return [memory.distances(feature_maps[memory.resolution]) for memory in self.memories]

    def _anomaly_map(self, images: tf.Tensor) -> tf.Tensor:
        """Averages the maps of all resolutions at the finest, then smooths: float [N, H, W]."""
        feature_maps = self.discriminator.trunk.feature_maps(images)
        side = max(memory.side for memory in self.memories)
        maps = [
            tf.image.resize(memory.anomaly_map(feature_maps[memory.resolution])[..., None], [side, side])
            for memory in self.memories
        ]
        mean = tf.add_n(maps)[..., 0] / len(maps)
        resolution = self.spec.resolution
        return smoothed(mean, resolution, self.settings.smoothing * resolution)


def default_map_resolutions(resolution: int) -> tuple[int, ...]:
    """Returns the three finest resolutions from 8 pixels up."""
    return tuple(level for level in resolutions_up_to(resolution) if level >= 8)[-3:] or (4,)
