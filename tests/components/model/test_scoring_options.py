"""Each setting of the score changes what it says, on small networks that were never trained."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

SPEC = ImageSpec(16, 1)
SMALL = ScoringSettings(reservoir_size=400, coreset_size=40, reference_images=20, false_positive_rate=0.1)
RANDOM = np.random.default_rng(0)
TRAINED, HELD_OUT, NEW = (RANDOM.integers(0, 256, (n, 16, 16, 1), dtype=np.uint8) for n in (30, 20, 6))


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(1)
    return build_networks(NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8), SPEC)


@pytest.fixture(scope="module")
def fitted(networks):
    """A fitted scorer of changed settings; calibrated too where that matters, since it takes a second."""

    def fit(calibrated: bool = False, **changes) -> AnomalyScorer:
        scorer = AnomalyScorer(networks, SPEC, dataclasses.replace(SMALL, **changes))
        scorer.fit(lambda: [TRAINED], seed=3)
        if calibrated:
            scorer.calibrate(lambda: [HELD_OUT])
        return scorer

    return fit


@pytest.fixture(scope="module")
def usual(fitted) -> AnomalyScorer:
    return fitted()


@pytest.mark.option("scoring.map_resolutions")
def test_maps_are_taken_where_the_settings_say(usual, fitted):
    assert [memory.resolution for memory in usual.references.memories] == [8, 16]
    assert [memory.resolution for memory in fitted(map_resolutions=(4,)).references.memories] == [4]


@pytest.mark.option("scoring.map_side")
def test_finer_maps_are_averaged_down(usual, fitted):
    coarse = fitted(map_side=4)
    # Half of the final resolution is the finest in any case.
    assert [memory.side for memory in usual.references.memories] == [8, 8]
    assert [memory.side for memory in coarse.references.memories] == [4, 4]
    feature_map = coarse.discriminator.trunk.feature_maps(to_network_range(NEW))[16]
    boxes = feature_map.numpy().reshape(6, 4, 4, 4, 4, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(
        coarse.references.memories[1].vectors(feature_map), boxes.reshape(6, 16, 8), atol=1e-5
    )


@pytest.mark.option("scoring.coreset_size", "scoring.reservoir_size", "scoring.reference_images")
def test_so_many_references_are_kept(usual, fitted):
    assert [memory.references.shape[0] for memory in usual.references.memories] == [40, 40]
    assert usual.references.densities["encoder_density"].references.shape[0] == 20
    fewer = fitted(coreset_size=9, reference_images=7)
    assert [memory.references.shape[0] for memory in fewer.references.memories] == [9, 9]
    assert fewer.references.densities["encoder_density"].references.shape[0] == 7
    # A coreset is chosen from the reservoir and cannot be larger.
    assert [memory.references.shape[0] for memory in fitted(reservoir_size=25).references.memories] == [
        25,
        25,
    ]


@pytest.mark.option("scoring.neighbours")
@pytest.mark.parametrize("neighbours", [1, 5, 20])
def test_so_many_neighbours_are_averaged(usual, fitted, neighbours):
    scorer = fitted(neighbours=neighbours, reference_images=30)
    trained, features = (scorer.encoder.features(to_network_range(images)) for images in (TRAINED, NEW))
    search = NearestNeighbors(n_neighbors=neighbours).fit(trained)
    found = scorer.explain(to_network_range(NEW)).components["encoder_density"]
    np.testing.assert_allclose(found, search.kneighbors(features)[0].mean(axis=1), rtol=1e-3)


@pytest.mark.option("scoring.smoothing")
def test_the_map_is_smoothed_by_a_share_of_the_side(fitted):
    sharp, smooth = (
        fitted(smoothing=share).explain(to_network_range(NEW)).anomaly_map.numpy() for share in (0.0, 0.125)
    )
    for one, two in zip(sharp, smooth, strict=True):
        expected = scipy.ndimage.gaussian_filter(one, 0.125 * 16, mode="mirror", truncate=3)
        np.testing.assert_allclose(two, expected, atol=0.02 * np.ptp(one))
        assert two.std() < 0.8 * one.std()


@pytest.mark.option("scoring.members")
def test_the_score_joins_the_members(fitted):
    components = {"map_max": tf.constant([1.0, 5.0]), "pixel_residual": tf.constant([0.3, 0.1])}
    scores = {}
    for members in (("map_max",), ("pixel_residual",), ("map_max", "pixel_residual")):
        scorer = fitted(calibrated=True, members=members)
        assert set(scorer.component_calibrations) == set(members)
        scores[members] = scorer.fused(components).numpy()
    one, other, both = scores.values()
    np.testing.assert_allclose(both, (one + other) / 2, rtol=1e-4)
    assert one[0] < one[1] and other[0] > other[1]


@pytest.mark.option("scoring.false_positive_rate")
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_threshold_lets_so_many_normal_images_pass_it(fitted, rate):
    scorer = fitted(calibrated=True, false_positive_rate=rate)
    verdict = scorer.verdict(scorer.explain(to_network_range(HELD_OUT)).components)
    assert np.mean(verdict["is_anomaly"]) == pytest.approx(rate, abs=0.051)
