"""How well the generator does: the measures of `metrics.generation` of its images beside real ones."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.metrics.generation.extractor import (
    FeatureExtractor,
    frechet_name,
    load_extractor,
)
from proganomaly.components.metrics.generation.features import (
    frechet_distance,
    kernel_distance,
    precision_and_recall,
)
from proganomaly.components.metrics.generation.similarity import ms_ssim
from proganomaly.components.metrics.generation.sliced_wasserstein import PatchSample, descriptor_distances
from proganomaly.components.model.layers import CHANNELS_FIRST
from proganomaly.components.model.networks import Networks, make_codes, to_uint8
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.settings import LoggingSettings

_BATCH = 32
_FEATURE_METRICS = ("frechet", "kid", "precision_recall")


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
        over pairs of generated images (the lower, the more they vary); `quality/frechet[<extractor>]` (or
        `quality/fid`, see `frechet_name`) and `quality/kid[<extractor>]` (0 is best),
        `quality/precision[<extractor>]` and `quality/recall[<extractor>]` (1 is best). Without a path in
        `settings.feature_extractor`, the extractor is `discriminator`: its 4x4 maps before the minibatch
        standard deviation, averaged over their places. Those values tell runs of one data set and resolution
        apart, no more: each run has a discriminator of its own.

    Raises:
        UserError: the feature extractor cannot be loaded, or not take such images.
    """
    count = min(settings.metric_images, source.images)
    measures = _Measures(settings.metrics, _extractor(networks, settings), seed)
    for images in _real_images(source, resolution, count):
        measures.add_real(images)
    for images in _generated_images(networks, resolution, count, seed):
        measures.add_generated(images)
    return {f"quality/{name}": value for name, value in measures.values().items()}


def check_measures(source: PyramidSource, resolutions: list[int], settings: LoggingSettings) -> None:
    """Makes sure that `measure_generator` will work, before hours of training count on it.

    Args:
        source: Real images.
        resolutions: Sides that the generator will be measured at.
        settings: What will be measured.

    Raises:
        UserError: there are fewer than two real images; or the feature extractor cannot be loaded, or cannot
            take images of these sizes.
    """
    if settings.metrics and source.images < 2:
        raise UserError(f"logging.metrics needs at least 2 training images; received {source.images}")
    if settings.feature_extractor and set(settings.metrics) & set(_FEATURE_METRICS):
        extractor = load_extractor(settings.feature_extractor)
        for resolution in resolutions:
            extractor(np.zeros((1, resolution, resolution, source.channels), np.uint8))


class _Measures:
    """Gathers what the measures need, batch by batch: never all images at once."""

    def __init__(self, names: tuple[str, ...], extractor: FeatureExtractor | None, seed: int) -> None:
        self._names, self._extractor, self._seed = names, extractor, seed
        self._patches = PatchSample(seed), PatchSample(seed)
        self._features: tuple[list[np.ndarray], list[np.ndarray]] = [], []
        self._similarities: list[np.ndarray] = []

    def add_real(self, images: np.ndarray) -> None:
        self._add(0, images)

    def add_generated(self, images: np.ndarray) -> None:
        self._add(1, images)
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
        return values | self._feature_values()

    def _add(self, side: int, images: np.ndarray) -> None:
        if "swd" in self._names:
            self._patches[side].add(images)
        if self._extractor:
            self._features[side].append(self._extractor(images))

    def _feature_values(self) -> dict[str, float]:
        if not self._extractor:
            return {}
        real, generated = (np.concatenate(parts) for parts in self._features)
        name = self._extractor.name
        values = {}
        if "frechet" in self._names:
            values[frechet_name(name, real.shape[1])] = frechet_distance(real, generated)
        if "kid" in self._names:
            values[f"kid[{name}]"] = kernel_distance(real, generated, seed=self._seed)
        if "precision_recall" in self._names:
            values[f"precision[{name}]"], values[f"recall[{name}]"] = precision_and_recall(real, generated)
        return values


def _extractor(networks: Networks, settings: LoggingSettings) -> FeatureExtractor | None:
    """Returns what makes the features, None where no measure asks for them."""
    if not set(settings.metrics) & set(_FEATURE_METRICS):
        return None
    if settings.feature_extractor:
        return load_extractor(settings.feature_extractor)
    return FeatureExtractor("discriminator", lambda images: _discriminator_features(networks, images))


def _discriminator_features(networks: Networks, images: tf.Tensor) -> tf.Tensor:
    """Returns the means of the trunk's maps, float [N, D]."""
    discriminator = networks.discriminator
    places = [2, 3] if discriminator.data_format == CHANNELS_FIRST else [1, 2]
    return tf.reduce_mean(tf.cast(discriminator.trunk(images), tf.float32), axis=places)


def _real_images(source: PyramidSource, resolution: int, count: int) -> Iterator[np.ndarray]:
    for images in source.batches(resolution, _BATCH):
        yield images[:count]
        count -= len(images)
        if count <= 0:
            return


def _generated_images(networks: Networks, resolution: int, count: int, seed: int) -> Iterator[np.ndarray]:
    generator = networks.generator
    for start in range(0, count, _BATCH):
        size = min(_BATCH, count - start)
        latents = tf.random.stateless_normal([size, generator.latent_size], [seed, start])
        # Every class is as likely as any other.
        labels = tf.random.stateless_uniform(
            [size], [seed, start], 0, max(generator.label_count, 1), tf.int32
        )
        codes = make_codes(latents, labels, generator.label_count)
        yield to_uint8(generator(codes, resolution=resolution)).numpy()
