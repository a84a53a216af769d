"""Scoring through a SavedModel: the same numbers whatever the batch, and clear refusals."""

import csv
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator import held_out
from proganomaly.components.evaluator.predict import ServedModel, predict, to_csv
from proganomaly.components.images.spec import ImageSpec

SPEC = ImageSpec(16, 1)


def _brightness(record) -> float:
    return float(np.asarray(Image.open(io.BytesIO(record.image)), np.float64).mean() / 255)


@pytest.fixture(scope="module")
def records(make):
    return make.test_records()


@pytest.fixture(scope="module")
def predictions(make, model_path, records):
    labels = held_out.read_truth(records, "test", SPEC).labels
    return predict(ServedModel(model_path), records, labels, batch_size=4)


def test_scores_are_the_models(predictions, records, make):
    expected = [_brightness(record) for record in records]
    np.testing.assert_allclose(predictions.score, expected, rtol=1e-5)
    np.testing.assert_array_equal(predictions.is_anomaly, np.array(expected) > make.threshold)
    assert predictions.threshold == pytest.approx(make.threshold)
    assert predictions.anomaly_map.shape == (len(records), 16, 16)
    assert list(predictions.components) == ["pixel_residual"]


def test_batches_do_not_matter(predictions, records, model_path):
    one = predict(ServedModel(model_path), records, predictions.labels, batch_size=100)
    np.testing.assert_array_equal(one.score, predictions.score)
    np.testing.assert_array_equal(one.anomaly_map, predictions.anomaly_map)


def test_csv_has_one_line_per_image(predictions, records):
    rows = list(csv.DictReader(io.StringIO(to_csv(predictions))))
    assert [row["filename"] for row in rows] == [record.filename for record in records]
    assert [row["label"] for row in rows] == ["0"] * 8 + ["1"] * 9
    for row, score, flagged in zip(rows, predictions.score, predictions.is_anomaly, strict=True):
        assert np.float32(row["score"]) == score
        assert float(row["pixel_residual"]) == pytest.approx(2 * score, rel=1e-6)
        assert row["is_anomaly"] == str(int(flagged))


def test_missing_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"holds no SavedModel$"):
        ServedModel(str(tmp_path))


def test_the_folder_above_a_model_is_told_apart_from_the_model(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"holds no SavedModel; did you mean .*/model\?$"):
        ServedModel(str(tmp_path))


def test_model_without_the_signature_is_named(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"double": module.double})
    with pytest.raises(UserError, match="needs the signature explain; it has double"):
        ServedModel(str(tmp_path))


def test_truth_of_each_kind_of_image(make):
    records = [
        make.record("good", 0),
        make.record("stain", 0, label=1),
        make.record("good", 1, label=None),
        make.record("good", 2, label=1),  # anomalous, without a mask
    ]
    truth = held_out.read_truth(records, "test", SPEC)
    assert truth.labels.tolist() == [0, 1, -1, 1]
    assert truth.has_pixels.tolist() == [True, True, False, False]
    assert truth.masks.sum(axis=(1, 2)).tolist() == [0, 81, 0, 0]
    assert held_out.read_truth(records, "calibration", SPEC).labels.tolist() == [0, 1, 0, 1]


def test_split_to_measure_on():
    assert held_out.choose_split(["train", "calibration", "test"]) == "test"
    assert held_out.choose_split(["train", "calibration"]) == "calibration"


def test_sample_is_bounded_and_does_not_depend_on_the_order(make):
    records = [make.record("good", index) for index in range(12)]
    sample = held_out.sample_images(iter(records), SPEC, limit=5)
    assert sample.shape == (5, 16, 16, 1)
    np.testing.assert_array_equal(held_out.sample_images(reversed(records), SPEC, limit=5), sample)
    assert len(held_out.sample_images(records, SPEC, limit=50)) == 12
