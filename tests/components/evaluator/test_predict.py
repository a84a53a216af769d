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
    labels = held_out.read_truth(records, SPEC).labels
    return predict(ServedModel(model_path), records, labels, batch_size=4)


def test_scores_are_the_models(predictions, records, make):
    expected = [_brightness(record) for record in records]
    np.testing.assert_allclose(predictions.score, expected, rtol=1e-5)
    np.testing.assert_array_equal(predictions.is_anomaly, np.array(expected) > make.threshold)
    assert predictions.threshold == pytest.approx(make.threshold)
    assert predictions.anomaly_map.shape == (len(records), 16, 16)
    assert list(predictions.components) == ["latent_norm", "pixel_residual"]


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


def test_a_model_that_cannot_score_by_tiles_is_named(model_path):
    with pytest.raises(UserError, match=r"needs the signature tiles; it has .*explain"):
        ServedModel(model_path).tiles(b"an image")


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
