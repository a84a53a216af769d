"""Learns what normal images look like to the networks: everything that a score compares an image with."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from proganomaly.components.model.calibration import median_and_deviation
from proganomaly.components.model.coreset import Reservoir
from proganomaly.components.model.density import FeatureDensity
from proganomaly.components.model.memory import FeatureMemory, default_map_resolutions, memory_side
from proganomaly.components.model.networks import Encoder, Networks, to_network_range
from proganomaly.components.model.observation import FEATURES, Observation, views
from proganomaly.components.model.residuals import REDUCED_VALUES, reduced_residual
from proganomaly.components.model.settings import TRANSFORM_COMPONENTS, ScoringSettings
from proganomaly.components.model.suspects import Suspects, rank_suspects

Batches = Callable[[], Iterable[np.ndarray]]
# Names of samples that are no features of a density.
_RESIDUALS, _NORMS, _STATISTICS = "residual_mahalanobis", "latent_norm", "critic"


class References(tf.Module):
    """The reference sets of all scores that need one, in variables that are saved with the model.

    Args:
        networks: The trained networks.
        resolution: Their final one.
        settings: How to score.
        components: The score components that are computed.
        untrained: An encoder with random weights, where one of the components needs it.

    Attributes:
        memories: One for each feature map that the anomaly map is made of.
        densities: By score component, one for each kind of features of whole images.
        residual: The Gaussian through the residuals.
        usual_norm: Median length of the latents of normal images.
        norm_spread: Their usual deviation from it.
        minibatch_statistic: What the discriminator's minibatch layer says of normal images, on average.
        images: How many the sets were made from.
    """

    def __init__(
        self,
        networks: Networks,
        resolution: int,
        settings: ScoringSettings,
        components: tuple[str, ...],
        untrained: Encoder | None = None,
    ) -> None:
        super().__init__(name="references")
        self._networks, self._settings, self._components = networks, settings, components
        self._untrained = untrained
        self.memories = [
            FeatureMemory(
                level,
                memory_side(level, resolution, settings.map_side),
                network,
                settings.projection,
                settings.map_position,
            )
            for network in settings.map_networks
            for level in settings.map_resolutions or default_map_resolutions(resolution)
        ]
        self.densities = {
            name: FeatureDensity(
                name,
                settings.densities.get(name, settings.density),
                settings.neighbours,
                settings.preprocessing,
                settings.projection,
            )
            for name in FEATURES
            if name in components
        }
        self.residual = FeatureDensity(_RESIDUALS, "mahalanobis", projection=REDUCED_VALUES)
        self.usual_norm, self.norm_spread, self.minibatch_statistic = 0.0, 1.0, 0.0
        self.images = 0

    @property
    def bytes(self) -> int:
        """Memory of all reference sets, in the saved model as well as when it serves."""
        return sum(variable.numpy().nbytes for variable in self.variables)

    def fit(self, normal_images: Batches, seed: int = 0) -> Suspects | None:
        """Learns from normal images, without the suspicious ones where the settings say so.

        Args:
            normal_images: Gives the batches of uint8 [N, R, R, C]; called twice where suspects are left out.
                The features of all images are in memory then, some kilobytes each.
            seed: Of the samples that are kept.

        Returns:
            All images by suspicion; None where none is left out.
        """
        suspects, left_out = None, np.empty(0, np.int64)
        if self._settings.trim > 0:
            suspects = self._suspects(normal_images, seed)
            left_out = suspects.most_suspicious(self._settings.trim)
        samples: dict[str, Reservoir] = {}
        self.images = 0
        for images in _without(normal_images(), left_out):
            self.images += len(images)
            for view in views(to_network_range(images), self._settings.flips):
                for name, vectors in self._sampled(Observation(self._networks, view, self._untrained)):
                    is_image = name not in self._by_name
                    size = self._settings.reference_images if is_image else self._settings.reservoir_size
                    samples.setdefault(name, Reservoir(size, seed)).add(vectors)
        for memory in self.memories:
            # One after another, and none longer than it is needed: they are large.
            memory.fit(samples.pop(memory.name).vectors, self._settings.coreset_size, seed)
        for name, density in self.densities.items():
            density.fit(samples[name].vectors, seed)
        if _RESIDUALS in samples:
            self.residual.fit(samples[_RESIDUALS].vectors, seed)
        if _NORMS in samples:
            self.usual_norm, spread = median_and_deviation(samples[_NORMS].vectors)
            self.norm_spread = max(spread, 1e-6)
        if _STATISTICS in samples:
            self.minibatch_statistic = float(samples[_STATISTICS].vectors.mean())
        return suspects

    @property
    def _by_name(self) -> dict[str, FeatureMemory]:
        return {memory.name: memory for memory in self.memories}

    def _suspects(self, normal_images: Batches, seed: int) -> Suspects:
        """Ranks all images in all feature spaces that the networks have."""
        spaces = [
            name
            for name in FEATURES
            if (name not in TRANSFORM_COMPONENTS or self._networks.discriminator.transform_count)
            and (name != "untrained_density" or self._untrained is not None)
        ]
        seen = (
            Observation(self._networks, to_network_range(batch), self._untrained) for batch in normal_images()
        )
        parts = [{name: each.features(name).numpy() for name in spaces} for each in seen]
        features = {name: np.concatenate([part[name] for part in parts]) for name in spaces}
        return rank_suspects(features, self._settings.trim, self._settings.reference_images, seed)

    def _sampled(self, seen: Observation) -> Iterator[tuple[str, np.ndarray]]:
        """Yields what is kept of a batch: float [N, F] by name; several vectors an image for a memory."""
        for memory in self.memories:
            yield memory.name, memory.sample(seen.map(memory.network, memory.resolution))
        for name in self.densities:
            yield name, seen.features(name).numpy()
        if _RESIDUALS in self._components:
            yield _RESIDUALS, reduced_residual(seen.images, seen.reconstructions).numpy()
        if _NORMS in self._components:
            yield _NORMS, tf.norm(seen.latents, axis=1, keepdims=True).numpy()
        if _STATISTICS in self._components:
            yield _STATISTICS, np.full([len(seen.images), 1], seen.minibatch_statistic)


def _without(batches: Iterable[np.ndarray], left_out: np.ndarray) -> Iterator[np.ndarray]:
    """Yields batches without the images of these numbers; no empty ones."""
    start = 0
    for batch in batches:
        kept = batch[~np.isin(np.arange(start, start + len(batch)), left_out)]
        start += len(batch)
        if len(kept):
            yield kept
