"""The random-weights control: untrained networks of the seed, the model's own scoring."""

import keras
import numpy as np
import pytest

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.control import untrained_scorer
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

SPEC = ImageSpec(8, 1)
NETWORKS = NetworkSettings(fmap_base=32, fmap_max=4, latent_size=4)
SCORING = ScoringSettings(coreset_size=32, reservoir_size=200, reference_images=20)


def _images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(80, 120, (count, 8, 8, 1), np.uint8)


def _scorer(seed: int):
    return untrained_scorer(
        NETWORKS, SCORING, SPEC, seed, lambda: [_images(12, 0), _images(8, 1)], lambda: [_images(16, 2)]
    )


@pytest.fixture(scope="module")
def scorer():
    return _scorer(5)


def _score(scorer, images: np.ndarray) -> np.ndarray:
    return scorer.verdict(scorer.explain(to_network_range(images)).components)["score"].numpy()


def test_weights_are_those_that_training_would_begin_with(scorer):
    keras.utils.set_random_seed(5)
    fresh = build_networks(NETWORKS, SPEC)
    for network in ("generator", "discriminator", "encoder"):
        for own, other in zip(
            getattr(scorer, network).variables, getattr(fresh, network).variables, strict=True
        ):
            np.testing.assert_array_equal(own.numpy(), other.numpy())


def test_it_scores_as_a_model_does(scorer):
    usual, strange = _images(10, 3), _images(10, 4)
    strange[:, 2:6, 2:6] = 250
    assert scorer.settings == SCORING
    assert _score(scorer, strange).min() > _score(scorer, usual).max()


def test_equal_seeds_score_equally(scorer):
    images = _images(6, 6)
    np.testing.assert_array_equal(_score(_scorer(5), images), _score(scorer, images))
