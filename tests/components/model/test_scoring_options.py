"""Each setting of the score changes what it says, on small networks that were never trained."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.errors import SettingsError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.projection import fit_projection
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.settings import SCORE_COMPONENTS, NetworkSettings, ScoringSettings

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
    """A fitted scorer of changed settings; calibrated too where that matters."""

    def fit(calibrated: bool = False, **changes) -> AnomalyScorer:
        scorer = AnomalyScorer(networks, SPEC, dataclasses.replace(SMALL, **changes))
        scorer.fit(lambda: [TRAINED], seed=3)
        if calibrated:
            # Few images are scored faster than a graph is made.
            tf.config.run_functions_eagerly(True)
            scorer.calibrate(lambda: [HELD_OUT])
            tf.config.run_functions_eagerly(False)
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


@pytest.mark.option("scoring.components")
def test_only_the_components_asked_for_are_computed(usual, fitted):
    few = fitted(components=("latent_norm", "encoder_density"), members=("encoder_density",))
    assert list(few.explain(to_network_range(NEW)).components) == ["latent_norm", "encoder_density"]
    assert list(few.references.densities) == ["encoder_density"]
    assert few.references.bytes < usual.references.bytes
    # Networks without the head have none of its components.
    assert set(SCORE_COMPONENTS) - set(usual.component_names) == {"transform_density", "transform_prediction"}
    with pytest.raises(SettingsError, match="transform head"):
        fitted(components=("transform_density",), members=("transform_density",))


@pytest.mark.option("scoring.density")
def test_density_may_be_a_gaussian(fitted):
    scorer = fitted(density="mahalanobis", reference_images=30)
    trained, features = (scorer.encoder.features(to_network_range(images)) for images in (TRAINED, NEW))
    expected = np.sqrt(LedoitWolf().fit(trained).mahalanobis(features))
    found = scorer.explain(to_network_range(NEW)).components["encoder_density"]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.option("scoring.densities")
def test_one_component_may_have_a_density_of_its_own(fitted):
    scorer = fitted(densities={"encoder_density": "mahalanobis"}, reference_images=30)
    trained, features = (scorer.encoder.features(to_network_range(images)) for images in (TRAINED, NEW))
    found = scorer.explain(to_network_range(NEW)).components
    expected = np.sqrt(LedoitWolf().fit(trained).mahalanobis(features))
    np.testing.assert_allclose(found["encoder_density"], expected, rtol=1e-3)
    trained, features = (scorer.untrained.features(to_network_range(images)) for images in (TRAINED, NEW))
    expected = NearestNeighbors(n_neighbors=5).fit(trained).kneighbors(features)[0].mean(axis=1)
    np.testing.assert_allclose(found["untrained_density"], expected, rtol=1e-3)


def test_the_untrained_encoder_is_the_same_in_every_model_and_no_trained_one(fitted):
    first, second = fitted(reference_images=30), fitted(reference_images=20)
    for one, two in zip(first.untrained.variables, second.untrained.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.untrained.dense.kernel, first.encoder.dense.kernel)


@pytest.mark.option("scoring.preprocessing")
@pytest.mark.parametrize("preprocessing", ["standardized", "whitened"])
def test_features_are_made_comparable(fitted, preprocessing):
    scorer = fitted(preprocessing=preprocessing, reference_images=30)
    trained, features = (scorer.encoder.features(to_network_range(images)) for images in (TRAINED, NEW))
    mean, matrix = fit_projection(trained.numpy(), preprocessing, 128)
    search = NearestNeighbors(n_neighbors=5).fit((trained - mean) @ matrix)
    found = scorer.explain(to_network_range(NEW)).components["encoder_density"]
    expected = search.kneighbors((features - mean) @ matrix)[0].mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.option("scoring.projection")
def test_no_reference_vector_is_longer(usual, fitted):
    def widths(scorer: AnomalyScorer) -> list[int]:
        references = scorer.references
        maps = [memory.references.shape[1] for memory in references.memories]
        return maps + [density.matrix.shape[1] for density in references.densities.values()]

    # Two maps; the features of the encoder, of the discriminator, of the untrained encoder.
    assert widths(usual) == [8, 8, 8, 128, 8]
    assert widths(fitted(projection=3)) == [3, 3, 3, 3, 3]


@pytest.mark.option("scoring.trim")
def test_suspects_are_in_no_reference_set(usual, fitted, networks):
    strange = np.zeros_like(TRAINED[:3])
    mixed = np.concatenate([TRAINED[:9], strange, TRAINED[9:]])
    scorer = AnomalyScorer(networks, SPEC, dataclasses.replace(SMALL, trim=0.1, reference_images=40))
    scorer.fit(lambda: [mixed[:10], mixed[10:]], seed=3)
    assert set(scorer.suspects.indices[:3]) == {9, 10, 11}
    assert scorer.references.images == 30
    clean = fitted(reference_images=40).explain(to_network_range(strange))
    found = scorer.explain(to_network_range(strange))
    for name in ("encoder_density", "discriminator_density", "residual_mahalanobis"):
        np.testing.assert_allclose(found.components[name], clean.components[name], rtol=1e-3, err_msg=name)
    # The maps' coresets are other samples of the same images.
    np.testing.assert_allclose(found.components["map_mean"], clean.components["map_mean"], rtol=0.2)
    assert usual.suspects is None


@pytest.mark.option("scoring.map_networks")
def test_the_encoder_may_make_maps_too(usual, fitted):
    one, both = fitted(map_networks=("encoder",)), fitted(map_networks=("discriminator", "encoder"))
    places = [(memory.network, memory.resolution) for memory in both.references.memories]
    assert places == [(network, side) for network in ("discriminator", "encoder") for side in (8, 16)]
    maps = [scorer.explain(to_network_range(NEW)).anomaly_map for scorer in (usual, one, both)]
    np.testing.assert_allclose((maps[0] + maps[1]) / 2, maps[2], rtol=1e-3)


@pytest.mark.option("scoring.map_position")
def test_the_place_may_count(fitted):
    """What is usual at the top is found at the bottom, seven rows away; four rows are one deviation."""
    maps = RANDOM.normal(size=(20, 8, 8, 8)).astype(np.float32)
    maps[:, 0] += 100
    upside_down = tf.constant(maps[:, ::-1])
    found = []
    for position in (0.0, 1.0):
        memory = fitted(map_position=position, coreset_size=2000).references.memories[0]
        memory.fit(memory.sample(tf.constant(maps)), 2000)
        found.append(memory.distances(upside_down).numpy()[:, 7])
    np.testing.assert_allclose(found[0], 0, atol=1e-3)
    np.testing.assert_allclose(found[1], 7 / 4, rtol=1e-3)


@pytest.mark.option("scoring.flips")
def test_an_image_and_its_mirror_image_score_alike(usual, fitted):
    flipping = fitted(flips=True, calibrated=True)
    mirrored = NEW[:, :, ::-1]
    one, other = (flipping.explain(to_network_range(images)) for images in (NEW, mirrored))
    for name, values in one.components.items():
        np.testing.assert_allclose(values, other.components[name], rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(one.anomaly_map, other.anomaly_map[:, :, ::-1], rtol=1e-4, atol=1e-5)
    one, other = (usual.explain(to_network_range(images)).anomaly_map for images in (NEW, mirrored))
    assert np.abs(one - other[:, :, ::-1]).max() > 0.01
