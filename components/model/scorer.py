"""Scores images with trained networks: the one implementation for calibration, evaluation and serving."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.calibration import Calibration, calibrate
from proganomaly.components.model.image_scores import image_scores
from proganomaly.components.model.networks import (
    Encoder,
    Networks,
    build_untrained_encoder,
    to_network_range,
    to_uint8,
)
from proganomaly.components.model.observation import Observation, views
from proganomaly.components.model.pixel_threshold import PixelSample, PixelThreshold
from proganomaly.components.model.references import References
from proganomaly.components.model.scoring import smoothed, top_share
from proganomaly.components.model.settings import MAP_COMPONENTS, TRANSFORM_COMPONENTS, ScoringSettings
from proganomaly.components.model.suspects import Suspects
from proganomaly.components.model.taps import tapped_layers


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
    """Networks, reference sets and calibrations, in one module that can be saved.

    `taps` says which layers the scores look at; all of the discriminator's are before its minibatch standard
    deviation.

    Args:
        networks: Trained networks.
        spec: Size and channels of the images.
        settings: How to score.

    Attributes:
        component_names: The score components that `explain` returns.
        references: What images are compared with.
        suspects: The images that `fit` was given by suspicion, where it left some of them out.
        component_calibrations: What is usual of each member; `calibration` of the score that they are fused
            to, `pixel_calibration` of the anomaly map's pixels. Of held-out normal images.

    Raises:
        SettingsError: the networks have not what the settings ask for.
    """

    def __init__(self, networks: Networks, spec: ImageSpec, settings: ScoringSettings) -> None:
        super().__init__(name="anomaly_scorer")
        self.generator = networks.generator
        self.discriminator = networks.discriminator
        self.encoder = networks.encoder
        self.spec, self.settings, self.networks = spec, settings, networks
        has_transforms = networks.discriminator.transform_count > 0
        settings.check_networks(spec.resolution, has_transforms)
        self.component_names = tuple(
            name for name in settings.components if has_transforms or name not in TRANSFORM_COMPONENTS
        )
        self.untrained: Encoder | None = None
        if "untrained_density" in self.component_names:
            self.untrained = build_untrained_encoder(networks.discriminator.settings, spec)
        self.references = References(
            networks, spec.resolution, settings, self.component_names, self.untrained
        )
        self.suspects: Suspects | None = None
        self.component_calibrations: dict[str, Calibration] = {}
        self.calibration: Calibration | None = None
        self.pixel_calibration: PixelThreshold | None = None

    def fit(self, normal_images: Callable[[], Iterable[np.ndarray]], seed: int = 0) -> None:
        """Learns the reference sets from normal training images.

        Args:
            normal_images: Gives the batches of uint8 [N, H, W, C]; called twice where `trim` leaves out
                suspects.
            seed: Seed of the samples that are kept.
        """
        self.suspects = self.references.fit(normal_images, seed)

    def calibrate(self, normal_images: Callable[[], Iterable[np.ndarray]]) -> None:
        """Learns what is usual from held-out normal images.

        Args:
            normal_images: Gives the batches of uint8 [N, H, W, C]; their maps are in memory meanwhile.
        """
        observe = tf.function(self._observe_members, reduce_retracing=True)
        seen = [observe(to_network_range(batch)) for batch in normal_images()]
        for index, memory in enumerate(self.references.memories):
            memory.calibrate(np.concatenate([distances[index] for distances, _ in seen]))
        join = tf.function(self._anomaly_map, reduce_retracing=True)
        pixels = PixelSample()
        parts = []
        for distances, components in seen:
            anomaly_map = join(distances)
            pixels.add(anomaly_map.numpy())
            parts.append(components | _map_scores(anomaly_map))
        self.pixel_calibration = pixels.threshold(self.settings.false_positive_rate)
        scores = {name: np.concatenate([part[name] for part in parts]) for name in self.settings.members}
        self.component_calibrations = {name: calibrate(values) for name, values in scores.items()}
        self.calibration = calibrate(self.fused(scores).numpy())

    def explain(self, images: tf.Tensor) -> Explanation:
        """Scores images, float [N, H, W, C] in [-1, 1], by every component that the settings name."""
        seen = self._views(images)
        anomaly_map = self._anomaly_map(self._distances(seen))
        components = self._image_scores(seen, self.component_names) | _map_scores(anomaly_map)
        return Explanation(
            {name: components[name] for name in self.component_names},
            anomaly_map,
            to_uint8(seen[0].reconstructions),
        )

    def members(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the components that the score is made of, float [N] each, and computes nothing else."""
        seen = self._views(images)
        components = self._image_scores(seen, self.settings.members)
        if set(self.settings.members) & set(MAP_COMPONENTS):
            components |= _map_scores(self._anomaly_map(self._distances(seen)))
        return components

    def score_and_map(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the score, float [N], and the anomaly map, float [N, H, W], and computes nothing else."""
        distances, components = self._observe_members(images)
        anomaly_map = self._anomaly_map(distances)
        return self.fused(components | _map_scores(anomaly_map)), anomaly_map

    @property
    def taps(self) -> dict[str, list[str]]:
        """The layers that the anomaly map and each component look at, by name."""
        return tapped_layers(self.settings, self.spec.resolution, self.component_names)

    @property
    def pixel_threshold(self) -> float:
        """What the stated share of normal pixels exceeds in the anomaly map."""
        assert self.pixel_calibration is not None, "calibrate first"
        return self.pixel_calibration.value

    def fused(self, components: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the score: the members, fused, float [N]."""
        return fuse(self.component_calibrations, components)

    def verdict(self, components: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
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

    def _views(self, images: tf.Tensor) -> list[Observation]:
        return [
            Observation(self.networks, view, self.untrained) for view in views(images, self.settings.flips)
        ]

    def _observe_members(self, images: tf.Tensor) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Returns what the members and the map are made of and needs no calibration."""
        seen = self._views(images)
        return self._distances(seen), self._image_scores(seen, self.settings.members)

    def _image_scores(self, seen: list[Observation], names: Sequence[str]) -> dict[str, tf.Tensor]:
        parts = [image_scores(view, self.references, self.networks, names) for view in seen]
        return {name: tf.add_n([part[name] for part in parts]) / len(parts) for name in parts[0]}

    def _distances(self, seen: list[Observation]) -> list[tf.Tensor]:
        """Returns the distances from each memory, float [N, views, side, side]."""
        return [
            tf.stack([memory.distances(view.map(memory.network, memory.resolution)) for view in seen], axis=1)
            for memory in self.references.memories
        ]

    def _anomaly_map(self, distances: list[tf.Tensor]) -> tf.Tensor:
        """Averages the maps of all views and memories at the finest, then smooths: float [N, H, W]."""
        side = max(memory.side for memory in self.references.memories)
        maps = []
        for memory, values in zip(self.references.memories, distances, strict=True):
            spreads = memory.in_spreads(values)
            upright = tf.concat([spreads[:, :1], spreads[:, 1:, :, ::-1]], axis=1)
            maps.append(tf.image.resize(tf.reduce_mean(upright, axis=1)[..., None], [side, side]))
        mean = tf.add_n(maps)[..., 0] / len(maps)
        resolution = self.spec.resolution
        return smoothed(mean, resolution, self.settings.smoothing * resolution)


def fuse(calibrations: Mapping[str, Calibration], components: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the mean robust z, float [N], of the components that there are calibrations of."""
    z = [calibration.robust_z(components[name]) for name, calibration in calibrations.items()]
    return tf.add_n(z) / len(z)


def _map_scores(anomaly_map: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "map_top": top_share(anomaly_map),
        "map_max": tf.reduce_max(anomaly_map, axis=[1, 2]),
        "map_mean": tf.reduce_mean(anomaly_map, axis=[1, 2]),
    }
