"""Reference sets: their memory, and what they learn beside features."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.density import FeatureDensity
from proganomaly.components.model.memory import FeatureMemory
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.references import References
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(1)
    return build_networks(NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8), ImageSpec(8, 1))


def _images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def _shapes(module: tf.Module) -> list[list[int]]:
    return [variable.shape.as_list() for variable in module.variables]


def test_memory_is_that_of_the_variables(networks):
    references = References(networks, 8, ScoringSettings(coreset_size=30), ("encoder_density", "critic"))
    references.fit(lambda: [_images(20)])
    memory, density = references.memories[0], references.densities["encoder_density"]
    assert _shapes(memory) == [[8], [30, 8], [8, 8]]
    assert _shapes(density) == [[8, 8], [8], [20, 8]]
    assert references.bytes == 4 * (8 + 30 * 8 + 8 * 8 + 8 + 8 * 8 + 20 * 8)


def test_the_default_sets_of_the_published_networks_are_below_64_mebibytes():
    """512 feature maps, maps of both networks, the head: wider than the defaults make them."""
    settings, random = ScoringSettings(), np.random.default_rng(0)
    total = 0
    for module, width, rows in [
        *((FeatureMemory(4, 4, projection=settings.projection), 512, settings.coreset_size),) * 6,
        *(
            (
                FeatureDensity("d", "neighbours", projection=settings.projection),
                width,
                settings.reference_images,
            )
            for width in (512, 512, 16 * 512)
        ),
        (FeatureDensity("residual", "mahalanobis", projection=1024), 1024, 0),
    ]:
        # The rows of a set are as many as the settings say; a few tell its other shapes.
        sample = random.normal(size=(150, width)).astype(np.float32)
        module.fit(sample, 150) if isinstance(module, FeatureMemory) else module.fit(sample)
        sizes = [[rows, shape[1]] if shape[0] == 150 else shape for shape in _shapes(module)]
        total += 4 * sum(int(np.prod(size)) for size in sizes)
    assert 20 * MEBIBYTE < total < 64 * MEBIBYTE


def test_the_usual_norm_and_the_critics_statistic_are_learned(networks):
    components = ("latent_norm", "critic")
    references = References(networks, 8, ScoringSettings(coreset_size=30), components)
    batches = [_images(20), _images(12, seed=1)]
    references.fit(lambda: batches)
    norms = np.concatenate([np.linalg.norm(networks.encoder(to_network_range(b)), axis=1) for b in batches])
    assert references.usual_norm == pytest.approx(np.median(norms), rel=1e-5)
    statistics = [
        networks.discriminator.statistic_of(networks.discriminator.trunk(to_network_range(b)))
        for b in batches
    ]
    assert references.minibatch_statistic == pytest.approx(np.average(statistics, weights=[20, 12]), rel=1e-5)


@pytest.mark.parametrize("sizes", [[30], [1, 29], [10, 10, 10]])
def test_batches_make_no_difference_and_the_seed_does(networks, sizes):
    settings = ScoringSettings(coreset_size=30, reservoir_size=100, reference_images=12)
    components = ("encoder_density", "residual_mahalanobis")
    found = []
    for seed, split in ((3, [30]), (3, sizes), (4, [30])):
        references = References(networks, 8, settings, components)
        parts = np.split(_images(30), np.cumsum(split)[:-1])
        references.fit(lambda parts=parts: parts, seed)
        sets = references.memories[0].references, references.densities["encoder_density"].references
        found.append([*sets, references.residual.matrix])
    for one, same, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-3, atol=1e-4)
        assert not np.allclose(one, other)
