"""Every number against scikit-learn or a count by hand."""

import numpy as np
import pytest
from sklearn import metrics

from proganomaly.components.evaluator import measure
from proganomaly.components.evaluator.held_out import Truth
from proganomaly.components.evaluator.predict import Predictions


def _case(make, labels, scores, kinds, masks=None):
    """Predictions and truth with the given labels, scores and kinds of defect; maps of noise."""
    labels, scores = np.array(labels), np.array(scores, np.float32)
    records = [make.record("good", i, label=None) for i in range(len(labels))]
    records = [
        type(record)(**{**vars(record), "defect_type": kind})
        for record, kind in zip(records, kinds, strict=True)
    ]
    noise = np.random.default_rng(0).normal(size=(len(labels), 8, 8)).astype(np.float32)
    masks = np.zeros((len(labels), 8, 8), np.uint8) if masks is None else masks
    predictions = Predictions(
        records, labels, scores, scores, 1 - scores, scores > 0.5, 0.5, noise + 2 * masks, {}
    )
    return predictions, Truth(labels, masks, (labels == 0) | masks.any(axis=(1, 2)))


@pytest.fixture
def case(make):
    masks = np.zeros((7, 8, 8), np.uint8)
    masks[4, 2:5, 2:5] = masks[5, 6:, 6:] = 1
    kinds = ["good", "good", "good", "cut", "cut", "stain", ""]
    return _case(make, [0, 0, 0, 1, 1, 1, -1], [0.1, 0.6, 0.3, 0.4, 0.9, 0.7, 0.2], kinds, masks)


def test_numbers_are_scikit_learns(case):
    predictions, truth = case
    result = measure.measure_model(predictions, truth)
    labels, scores = truth.labels[:6], predictions.score[:6]
    assert result["image_auroc"] == metrics.roc_auc_score(labels, scores)
    assert result["average_precision"] == metrics.average_precision_score(labels, scores)
    # Image 3 has no mask and image 6 no label: neither has a known truth of pixels.
    pixels = [0, 1, 2, 4, 5]
    expected = metrics.roc_auc_score(truth.masks[pixels].ravel(), predictions.anomaly_map[pixels].ravel())
    assert result["pixel_auroc"] == pytest.approx(expected)
    assert 0 < result["aupro"] <= 1
    assert result["recall"] == pytest.approx(2 / 3)
    assert result["false_positive_rate"] == pytest.approx(1 / 3)
    assert result["threshold"] == 0.5
    assert result["f1_max"] == pytest.approx(0.857, abs=1e-3)  # 3 found of 3 above 0.35, 1 false alarm


def test_kinds_of_defect(case):
    result = measure.by_defect_type(*case)
    assert list(result) == ["good", "cut", "stain"]
    assert result["good"]["images"] == 3
    assert result["good"]["image_auroc"] is None
    assert result["cut"] == {
        "images": 2,
        "flagged": 0.5,
        "mean_normalized_score": pytest.approx(0.65),
        "image_auroc": pytest.approx(5 / 6),
    }


def test_anomaly_without_a_kind_is_unknown(make):
    predictions, truth = _case(make, [0, 1], [0.1, 0.9], ["", ""])
    assert list(measure.by_defect_type(predictions, truth)) == ["good", "unknown"]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_what_needs_two_undefined(make, label):
    predictions, truth = _case(make, [label] * 3, [0.1, 0.6, 0.3], ["cut"] * 3)
    result = measure.measure_model(predictions, truth)
    for name in ("image_auroc", "average_precision", "f1_max", "pixel_auroc", "aupro"):
        assert result[name] is None
    assert result["false_positive_rate" if label == 0 else "recall"] == pytest.approx(1 / 3)
    assert result["recall" if label == 0 else "false_positive_rate"] is None


def test_maps_of_another_resolution_are_not_measured(case):
    predictions, truth = case
    result = measure.measure_scores(predictions.score, predictions.anomaly_map[:, ::2, ::2], truth)
    assert result["image_auroc"] is not None
    assert result["pixel_auroc"] is None and result["aupro"] is None


def test_what_is_not_finite_is_counted_once_per_image(case):
    predictions, _ = case
    assert measure.count_not_finite(predictions) == 0
    predictions.score[0] = np.nan
    predictions.anomaly_map[0, 0, 0] = np.inf
    predictions.anomaly_map[3, 1, 1] = np.nan
    assert measure.count_not_finite(predictions) == 2


def test_baselines_are_measured_on_the_same_images(make):
    random = np.random.default_rng(1)
    train = random.integers(0, 100, (20, 8, 8, 1), np.uint8)
    images = random.integers(0, 100, (10, 8, 8, 1), np.uint8)
    images[5:, 2:6, 2:6] = 255
    masks = np.zeros((10, 8, 8), np.uint8)
    masks[5:, 2:6, 2:6] = 1
    labels = np.array([0] * 5 + [1] * 5)
    result = measure.measure_baselines(train, images, Truth(labels, masks, np.ones(10, bool)))
    assert set(result) == {"knn5", "pca64"}
    for values in result.values():
        assert values["train_images"] == 20
        assert values["image_auroc"] == 1.0
        assert values["pixel_auroc"] > 0.9
