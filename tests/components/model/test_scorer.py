"""A score depends on its image alone, whatever the settings."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import SCORE_COMPONENTS, NetworkSettings, ScoringSettings

SPEC = ImageSpec(8, 3)
NETWORKS = NetworkSettings(fmap_base=32, fmap_max=8, latent_size=8, transforms=("flip",))
SMALL = {"coreset_size": 40, "reservoir_size": 400, "false_positive_rate": 0.1}
EVERYTHING = [
    {"members": SCORE_COMPONENTS, "components": SCORE_COMPONENTS, "trim": 0.1},
    {
        "members": ("map_top", "transform_density"),
        "density": "mahalanobis",
        "preprocessing": "whitened",
        "flips": True,
        "map_networks": ("discriminator", "encoder"),
        "map_position": 0.5,
    },
]


def _images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def _outputs(scorer: AnomalyScorer, images: np.ndarray) -> dict[str, np.ndarray]:
    explanation = scorer.explain(to_network_range(images))
    verdict = scorer.verdict(explanation.components)
    outputs = {**explanation.components, **verdict, "map": explanation.anomaly_map}
    return {name: np.asarray(value, np.float64) for name, value in outputs.items()}


@pytest.fixture(scope="module", params=EVERYTHING, ids=["every component", "other settings"])
def scored(request) -> tuple[AnomalyScorer, np.ndarray, dict[str, np.ndarray]]:
    """A scorer, images, and what it says of them as one batch."""
    keras.utils.set_random_seed(1)
    scorer = AnomalyScorer(build_networks(NETWORKS, SPEC), SPEC, ScoringSettings(**SMALL, **request.param))
    tf.config.run_functions_eagerly(True)
    scorer.fit(lambda: [_images(30, 1), _images(10, 2)])
    scorer.calibrate(lambda: [_images(20, 3), _images(9, 4)])
    tf.config.run_functions_eagerly(False)
    images = _images(6, 5)
    return scorer, images, _outputs(scorer, images)


@settings(max_examples=4, deadline=None)
@given(order=st.permutations(range(6)), count=st.integers(1, 6))
def test_batch_and_order_make_no_difference(scored, order, count):
    scorer, images, together = scored
    chosen = order[:count]
    for name, values in _outputs(scorer, images[chosen]).items():
        # A score of 0 is an ordinary one: a hundred-thousandth of a usual deviation is as near.
        np.testing.assert_allclose(values, together[name][chosen], rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_score_and_its_map_can_be_had_without_the_rest(scored):
    scorer, images, together = scored
    score, anomaly_map = scorer.score_and_map(to_network_range(images))
    np.testing.assert_allclose(score, together["score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(anomaly_map, together["map"], rtol=1e-5, atol=1e-5)
    members = scorer.members(to_network_range(images))
    np.testing.assert_allclose(scorer.fused(members), together["score"], rtol=1e-5, atol=1e-5)


def test_a_scorer_that_is_not_calibrated_says_so(scored):
    scorer = scored[0]
    new = AnomalyScorer(scorer.networks, SPEC, scorer.settings)
    with pytest.raises(AssertionError, match="calibrate first"):
        _ = new.pixel_threshold
