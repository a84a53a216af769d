"""Large images through an exported model: one verdict, one map, against its verdicts on single tiles."""

import dataclasses
import io

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from proganomaly.components.errors import SettingsError
from proganomaly.components.image_example_gen.tiles import cut_record
from proganomaly.components.images.features import measure
from proganomaly.components.images.geometry import fit_image
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model import tiled_serving
from proganomaly.components.model.calibration import calibrate
from proganomaly.components.model.networks import build_networks, to_network_range
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.records.image_example import ImageRecord

SIDE = 16
RATE = 0.1
# Three tiles high and two and a half wide; the defect is in the middle of tile (2, 1).
HEIGHT, WIDTH = 48, 40
DEFECT = np.s_[28:34, 17:23]


def _texture(height: int, width: int, seed: int) -> np.ndarray:
    """Stripes of any phase with soft noise, uint8 [height, width, 1]."""
    random = np.random.default_rng(seed)
    stripes = 40 * np.sin(np.arange(width) * 1.1 + random.uniform(0, 6)) + np.zeros((height, 1))
    noise = 40 * scipy.ndimage.gaussian_filter(random.normal(size=(height, width)), 0.7)
    return (128 + stripes + noise).clip(0, 255).astype(np.uint8)[:, :, None]


def _defective() -> np.ndarray:
    image = _texture(HEIGHT, WIDTH, 900)
    image[DEFECT] = [[[0], [255]] * 3] * 6
    return image


def _encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def scorer() -> AnomalyScorer:
    keras.utils.set_random_seed(1)
    spec = ImageSpec(SIDE, 1)
    networks = build_networks(NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8), spec)
    members = ("map_top", "encoder_density")
    settings = ScoringSettings(components=members, coreset_size=200, false_positive_rate=RATE)
    scorer = AnomalyScorer(networks, spec, settings)
    trained, held_out = (
        np.stack([_texture(SIDE, SIDE, first + number) for number in range(count)])
        for first, count in ((0, 80), (100, 60))
    )
    scorer.fit(lambda: [trained])
    scorer.calibrate(lambda: [held_out])
    return scorer


@pytest.fixture(scope="module")
def signatures(scorer, tmp_path_factory):
    """The signatures of the exported and loaded model, by functions of pixels that answer in NumPy."""
    folder = str(tmp_path_factory.mktemp("model"))
    serving = ServingModel(scorer)
    asked = {name: serving.signatures()[name] for name in ("serving_default", "explain", "tiles")}
    tf.saved_model.save(serving, folder, signatures=asked)
    model = tf.saved_model.load(folder)

    def answer(signature: str, *images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = model.signatures[signature](image_bytes=tf.constant([_encoded(image) for image in images]))
        return {name: output.numpy() for name, output in outputs.items()}

    answer.model = model
    return answer


@pytest.fixture(scope="module")
def large(signatures) -> dict[str, np.ndarray]:
    return signatures("tiles", _defective())


@pytest.fixture(scope="module")
def single(signatures, large) -> dict[str, np.ndarray]:
    """What the model says of each tile, given as an image of its own."""
    image = _defective()
    crops = [image[top:bottom, left:right] for top, left, bottom, right in large["tile_boxes"][0]]
    return signatures("explain", *crops)


def test_the_outputs_have_the_documented_form(large):
    assert large["tile_count"].tolist() == [12]
    for name in ("score", "normalized_score", "p_value", "threshold", "pixel_threshold"):
        assert (large[name].dtype, large[name].shape) == (np.float32, (1,))
    assert (large["is_anomaly"].dtype, large["is_anomaly"].shape) == (np.bool_, (1,))
    assert (large["anomaly_map"].dtype, large["anomaly_map"].shape) == (np.float32, (1, HEIGHT, WIDTH))
    assert large["tile_scores"].shape == (1, 12)
    assert large["tile_boxes"].shape == (1, 12, 4)
    assert large["tile_boxes"][0, [0, 1, -1]].tolist() == [[0, 0, 16, 16], [0, 12, 16, 28], [32, 24, 48, 40]]


def test_a_defect_is_found_and_located(large):
    assert large["is_anomaly"][0] and large["p_value"][0] < 0.05
    anomaly_map = large["anomaly_map"][0]
    row, column = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    assert 28 <= row < 34 and 17 <= column < 23
    assert anomaly_map.max() > large["pixel_threshold"][0]
    top, left, bottom, right = large["tile_boxes"][0, large["tile_scores"][0].argmax()]
    assert top <= row < bottom and left <= column < right


def test_a_tile_is_scored_as_an_image_of_its_own(large, single):
    np.testing.assert_allclose(large["tile_scores"][0], single["score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(large["score"][0], single["score"].max(), rtol=1e-5)
    np.testing.assert_allclose(large["normalized_score"][0], single["normalized_score"].max(), rtol=1e-5)


def test_what_a_single_tile_covers_keeps_its_map(large, single):
    places = [np.s_[top:bottom, left:right] for top, left, bottom, right in large["tile_boxes"][0]]
    covers = np.zeros((HEIGHT, WIDTH))
    for place in places:
        covers[place] += 1
    assert covers.min() == 1 and covers.max() == 4
    for number, place in enumerate(places):
        alone = covers[place] == 1
        stitched, own = large["anomaly_map"][0][place], single["anomaly_map"][number]
        np.testing.assert_allclose(stitched[alone], own[alone], atol=1e-5)


def test_the_p_value_is_corrected_for_the_number_of_tiles(large, single, signatures):
    p_value = single["p_value"].astype(np.float64).min()
    np.testing.assert_allclose(large["p_value"][0], -np.expm1(12 * np.log1p(-p_value)), rtol=1e-4)
    normal = signatures("tiles", _texture(HEIGHT, WIDTH, 901))
    assert not normal["is_anomaly"][0]
    for outputs in (large, normal):
        assert outputs["is_anomaly"][0] == (outputs["p_value"][0] < RATE)
        assert outputs["is_anomaly"][0] == (outputs["score"][0] > outputs["threshold"][0])
    assert large["threshold"][0] > single["threshold"][0]


def test_an_image_of_one_tile_gets_the_verdict_of_serving_default(signatures):
    image = _texture(SIDE, SIDE, 902)
    tiled, usual = signatures("tiles", image), signatures("serving_default", image)
    assert tiled["tile_count"].tolist() == [1]
    for name, value in usual.items():
        np.testing.assert_allclose(tiled[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("height, width", [(9, 30), (5, 16), (3, 2)])
def test_an_image_smaller_than_a_tile_is_mirrored(signatures, height, width):
    image = _texture(height, width, 903)
    mirrored = np.pad(image, [(0, SIDE - height), (0, max(0, SIDE - width)), (0, 0)], mode="reflect")
    small, whole = signatures("tiles", image), signatures("tiles", mirrored)
    assert small["anomaly_map"].shape == (1, height, width)
    np.testing.assert_allclose(small["anomaly_map"], whole["anomaly_map"][:, :height, :width], rtol=1e-5)
    np.testing.assert_allclose(small["score"], whole["score"], rtol=1e-5)
    assert small["tile_boxes"][0, :, 2:].max(axis=0).tolist() == [height, width]


def test_the_score_does_not_depend_on_how_many_tiles_go_at_a_time(scorer, large, monkeypatch):
    # The last chunk has two.
    monkeypatch.setattr(tiled_serving, "_CHUNK_TILES", 5)
    chunked = tf.function(tiled_serving.score_tiles)(scorer, tf.constant([_encoded(_defective())]))
    assert set(chunked) == set(large)
    for name, value in large.items():
        np.testing.assert_allclose(chunked[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_pixels_are_scored_as_the_file_that_holds_them(scorer, large):
    by_pixels = tiled_serving.score_tiles(scorer, tf.constant(_defective()[None]))
    np.testing.assert_allclose(by_pixels["score"], large["score"], rtol=1e-5)


def test_what_is_no_image_is_told(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="is not a PNG, JPEG, BMP or GIF image"):
        signatures.model.signatures["tiles"](image_bytes=tf.constant([b"some text"]))


@pytest.mark.parametrize("overlap, lefts", [(0.0, [0, 16, 24]), (0.5, [0, 8, 16, 24])])
def test_tiles_overlap_as_the_settings_say(scorer, monkeypatch, overlap, lefts):
    monkeypatch.setattr(scorer, "spec", dataclasses.replace(scorer.spec, tile_overlap=overlap))
    boxes = tiled_serving.score_tiles(scorer, tf.constant(_texture(16, 40, 904)[None]))["tile_boxes"]
    assert boxes[0, :, 1].numpy().tolist() == lefts


@pytest.mark.parametrize("height, width", [(HEIGHT, WIDTH), (40, 56), (9, 30)])
def test_serving_sees_the_tiles_that_ingestion_cuts(scorer, monkeypatch, height, width):
    spec = dataclasses.replace(scorer.spec, fit="tiles", tile_size=24, tile_overlap=0.4)
    monkeypatch.setattr(scorer, "spec", spec)
    pixels = _texture(height, width, 907)
    features = dataclasses.asdict(measure(pixels))
    record = ImageRecord(_encoded(pixels), "a.png", "png", height, width, 1, **features, label=0)
    tiles = [tile.image for tile, _ in cut_record(record, pixels, spec.reading)]
    serving = ServingModel(scorer)
    large, single = serving.score_tiles(tf.constant([record.image])), serving.explain(tf.constant(tiles))
    assert large["anomaly_map"].shape == (1, height, width)
    np.testing.assert_allclose(large["tile_scores"][0], single["score"], rtol=1e-5)


def test_a_model_of_tiles_refuses_what_is_none_where_images_are_whole(scorer, monkeypatch):
    spec = dataclasses.replace(scorer.spec, fit="tiles")
    monkeypatch.setattr(scorer, "spec", spec)
    score = tf.function(ServingModel(scorer).score)
    assert score(tf.constant([_encoded(_texture(SIDE, SIDE, 906))]))["score"].shape == [1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="40 x 48 pixels is no tile of 16 x 16"):
        score(tf.constant([_encoded(_defective())]))


@pytest.mark.parametrize("overlap", [-0.1, 0.95])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(SettingsError, match=f"tile_overlap must be .*; received {overlap}"):
        ImageSpec(tile_overlap=overlap)


@pytest.mark.parametrize("side", [8, 24, 32])
def test_tiles_of_another_size_are_resized_and_their_maps_scaled_back(scorer, monkeypatch, side):
    image = _texture(HEIGHT, WIDTH, 905)
    monkeypatch.setattr(scorer, "spec", dataclasses.replace(scorer.spec, tile_size=side))
    outputs = tiled_serving.score_tiles(scorer, tf.constant(image[None]))
    assert outputs["anomaly_map"].shape == (1, HEIGHT, WIDTH)
    boxes = outputs["tile_boxes"][0].numpy()
    assert set((boxes[:, 2:] - boxes[:, :2]).ravel()) == {side}
    # The networks get each tile as they get a whole image of its size.
    whole = ImageSpec(SIDE, 1, "stretch")
    crops = [image[top:bottom, left:right] for top, left, bottom, right in boxes]
    tiles = np.stack([fit_image(tf.constant(crop), whole) for crop in crops])
    scores, maps = scorer.score_and_map(to_network_range(tf.constant(tiles)))
    np.testing.assert_allclose(outputs["tile_scores"][0], scores, rtol=1e-5)
    # Before a second tile begins the map is the first one's: scaled by SciPy, at the centres of pixels.
    count = boxes[:, :2][boxes[:, :2] > 0].min()
    places = (np.arange(count) + 0.5) * SIDE / side - 0.5
    grid = np.meshgrid(places, places, indexing="ij")
    if side > SIDE:
        expected = scipy.ndimage.map_coordinates(maps[0].numpy(), grid, order=1, mode="nearest")
        np.testing.assert_allclose(outputs["anomaly_map"][0, :count, :count], expected, rtol=1e-4, atol=1e-5)


@given(st.floats(-300, 0), st.integers(1, 5000))
def test_sidak_in_float32_is_that_of_float64(exponent, looks):
    p_value = np.float32(max(10.0**exponent, 1e-37))
    expected = -np.expm1(looks * np.log1p(-min(np.float64(p_value), 1 - 1e-16)))
    np.testing.assert_allclose(tiled_serving.sidak(tf.constant(p_value), looks), expected, rtol=1e-5)


@pytest.mark.parametrize("looks", [1, 4, 25])
def test_normal_images_of_any_number_of_tiles_are_flagged_at_the_stated_rate(looks):
    random = np.random.default_rng(looks)
    calibration = calibrate(random.exponential(size=20_000))
    highest = random.exponential(size=(4_000, looks)).max(axis=1).astype(np.float32)
    verdict = tiled_serving.verdict_of_looks(calibration, 0.05, tf.constant(highest), tf.fill(4_000, looks))
    assert verdict["is_anomaly"].numpy().mean() == pytest.approx(0.05, abs=0.02)
    # Uniform, as a p-value has to be.
    np.testing.assert_allclose(np.quantile(verdict["p_value"], [0.1, 0.5]), [0.1, 0.5], atol=0.03)
