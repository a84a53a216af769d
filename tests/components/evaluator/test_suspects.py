"""Suspects: anomalies among the training images are found although the model was given them as normal."""

import csv
import io
import types

import numpy as np
import pytest

from proganomaly.components.evaluator.held_out import decode_records
from proganomaly.components.evaluator.rebuilt import NotRebuilt, Recipe, read_recipe, restored_networks
from proganomaly.components.evaluator.suspects import find_suspects, to_csv
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

SPEC = ImageSpec(16, 1)
NETWORKS = NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8)
SCORING = ScoringSettings(components=("map_top", "encoder_density"), coreset_size=64, reservoir_size=1000)


@pytest.fixture(scope="module")
def recipe(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    make.write_weights(folder, build_networks(NETWORKS, SPEC))
    return Recipe(str(folder), NETWORKS, SCORING, 1)


@pytest.fixture(scope="module")
def records(make):
    good = [make.record("good", index, "train") for index in range(30)]
    return [
        *good[:7],
        make.record("stain", 0, "train"),
        *good[7:20],
        make.record("stain", 3, "train"),
        *good[20:],
    ]


@pytest.fixture(scope="module")
def calibration(make):
    return decode_records([make.record("good", index, "calibration") for index in range(40, 52)], SPEC)


@pytest.fixture(scope="module")
def suspects(recipe, records, calibration):
    return find_suspects(recipe, SPEC, records, calibration, batch_size=8)


def test_anomalies_among_the_training_images_come_first(suspects, records):
    assert {record.filename for record in suspects.records[:2]} == {
        "train/stain/000.png",
        "train/stain/003.png",
    }
    assert len(suspects.records) == len(records)
    assert (np.diff(suspects.score) <= 0).all()
    assert suspects.is_anomaly[:2].all() and suspects.p_value[:2].max() < 0.01 < suspects.p_value[2]
    # Hot where the stain is: rows 3 to 11, columns 4 to 12.
    for anomaly_map in suspects.anomaly_map[:2]:
        assert anomaly_map[4:11, 5:12].mean() > 2 * anomaly_map[13:].mean()


def test_csv_has_one_line_per_suspect(suspects):
    rows = list(csv.DictReader(io.StringIO(to_csv(suspects))))
    assert [row["filename"] for row in rows] == [record.filename for record in suspects.records]
    np.testing.assert_array_equal([np.float32(row["score"]) for row in rows], suspects.score)
    assert [row["is_anomaly"] for row in rows] == [str(int(flag)) for flag in suspects.is_anomaly]


def test_restored_networks_are_those_that_were_written(recipe):
    once, again = (restored_networks(recipe, SPEC).variables() for _ in range(2))
    fresh = build_networks(NETWORKS, SPEC).variables()
    assert all((one.numpy() == other.numpy()).all() for one, other in zip(once, again, strict=True))
    assert any((one.numpy() != other.numpy()).any() for one, other in zip(once, fresh, strict=True))


def test_other_networks_cannot_be_restored(recipe):
    wider = Recipe(recipe.path, NetworkSettings(fmap_base=64, fmap_max=8, latent_size=16), SCORING, 1)
    with pytest.raises(NotRebuilt, match="does not carry the weights"):
        restored_networks(wider, SPEC)


def test_without_weights_there_are_no_suspects(tmp_path, records, calibration):
    with pytest.raises(NotRebuilt, match="does not carry the weights"):
        find_suspects(Recipe(str(tmp_path), NETWORKS, SCORING, 1), SPEC, records, calibration, 8)


@pytest.mark.parametrize("training, held_out", [(3, 12), (30, 1)])
def test_too_few_images_are_told(recipe, records, calibration, training, held_out):
    with pytest.raises(NotRebuilt, match="two or more training and calibration images"):
        find_suspects(recipe, SPEC, records[:training], calibration[:held_out], 8)


@pytest.mark.parametrize(
    "changes, words",
    [
        (None, "of an older version"),
        ({"scoring": {"members": ["unheard_of"]}}, "those of another version"),
        ({"networks": {"fmap_max": 0}}, "those of another version"),
    ],
)
def test_what_a_model_does_not_say_cannot_be_built(make, changes, words):
    description = None if changes is None else {**make.description, **changes}
    with pytest.raises(NotRebuilt, match=words):
        read_recipe(types.SimpleNamespace(path="", description=description))
