"""How well the generator does: the measures of `metrics.generation` of its images beside real ones."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from proganomaly.components.metrics.generation.similarity import ms_ssim
from proganomaly.components.metrics.generation.sliced_wasserstein import PatchSample, descriptor_distances
from proganomaly.components.model.networks import Networks, to_uint8
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.settings import LoggingSettings

_BATCH = 32


def measure_generator(
    networks: Networks, source: PyramidSource, resolution: int, settings: LoggingSettings, seed: int
) -> dict[str, float]:
    """Takes the measures that `settings.metrics` names, at full weight of the newest layers.

    Real images are the first ones of the source, as many as `settings.metric_images` and the source allow;
    as many are generated. The measures are pure functions of the arguments.

    Args:
        networks: The networks to measure; of use are the averaged ones.
        source: Real images.
        resolution: Side of the images in pixels.
        settings: What to measure, and on how many images.
        seed: Of the latents and of everything that a measure draws.

    Returns:
        Values by name: `quality/swd_<level>` and their mean `quality/swd` (0 is best), `quality/ms_ssim`
        over pairs of generated images (the lower, the more they vary).
    """
    count = min(settings.metric_images, source.images)
    measures = _Measures(settings.metrics, seed)
    for images in _real_images(source, resolution, count):
        measures.add_real(images)
    for images in _generated_images(networks, resolution, count, seed):
        measures.add_generated(images)
    return {f"quality/{name}": value for name, value in measures.values().items()}


class _Measures:
    """Gathers what the measures need, batch by batch: never all images at once."""

    def __init__(self, names: tuple[str, ...], seed: int) -> None:
        self._names, self._seed = names, seed
        self._patches = PatchSample(seed), PatchSample(seed)
        self._similarities: list[np.ndarray] = []

    def add_real(self, images: np.ndarray) -> None:
        if "swd" in self._names:
            self._patches[0].add(images)

    def add_generated(self, images: np.ndarray) -> None:
        if "swd" in self._names:
            self._patches[1].add(images)
        if "ms_ssim" in self._names:
            pairs = len(images) // 2
            self._similarities.append(ms_ssim(images[:pairs], images[pairs : 2 * pairs]))

    def values(self) -> dict[str, float]:
        values: dict[str, float] = {}
        if "swd" in self._names:
            distances = descriptor_distances(*self._patches, self._seed)
            values |= {f"swd_{level}": distance for level, distance in distances.items()}
            values["swd"] = float(np.mean(list(distances.values())))
        if "ms_ssim" in self._names:
            values["ms_ssim"] = float(np.mean(np.concatenate(self._similarities)))
        return values


def _real_images(source: PyramidSource, resolution: int, count: int) -> Iterator[np.ndarray]:
    for images in source.batches(resolution, _BATCH):
        yield images[:count]
        count -= len(images)
        if count <= 0:
            return


def _generated_images(networks: Networks, resolution: int, count: int, seed: int) -> Iterator[np.ndarray]:
    generator = networks.generator
    for start in range(0, count, _BATCH):
        shape = [min(_BATCH, count - start), generator.latent_size]
        latents = tf.random.stateless_normal(shape, [seed, start])
        yield to_uint8(generator(latents, resolution=resolution)).numpy()
