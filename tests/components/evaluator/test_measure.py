"""Every number against scikit-learn or a count by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from proganomaly.components.evaluator import measure
from proganomaly.components.evaluator.held_out import Truth
from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.metrics import bootstrap, curves, detection


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
    assert result["image_auroc"] == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert result["average_precision"] == pytest.approx(metrics.average_precision_score(labels, scores))
    # Image 3 has no mask and image 6 no label: neither has a known truth of pixels.
    pixels = [0, 1, 2, 4, 5]
    expected = metrics.roc_auc_score(truth.masks[pixels].ravel(), predictions.anomaly_map[pixels].ravel())
    assert result["pixel_auroc"] == pytest.approx(expected)
    expected = metrics.average_precision_score(
        truth.masks[pixels].ravel(), predictions.anomaly_map[pixels].ravel()
    )
    assert result["pixel_average_precision"] == pytest.approx(expected)
    assert 0 < result["aupro"] <= 1
    assert result["fpr_at_95_tpr"] == pytest.approx(1 / 3)  # all 3 are found above 0.35, as is 1 normal
    assert result["recall"] == pytest.approx(2 / 3)
    assert result["false_positive_rate"] == pytest.approx(1 / 3)
    assert result["threshold"] == 0.5
    assert result["f1_max"] == pytest.approx(0.857, abs=1e-3)  # 3 found of 3 above 0.35, 1 false alarm


def test_intervals_hold_their_numbers(case):
    result = measure.measure_model(*case)
    named = ("image_auroc", "average_precision", "f1_max", "fpr_at_95_tpr", "recall", "false_positive_rate")
    assert set(result["intervals"]) == set(named)
    for name, (low, high) in result["intervals"].items():
        assert 0 <= low <= result[name] <= high <= 1
    labels, scores = case[1].labels[:6], case[0].score[:6]
    assert result["intervals"]["image_auroc"] == bootstrap.interval(curves.auroc, labels, scores)


def test_what_cannot_be_measured_has_every_name_of_what_can(case):
    assert set(measure.NO_METRICS) == set(measure.measure_model(*case))


def test_kinds_of_defect(case):
    predictions, truth = case
    result = measure.measure_model(predictions, truth)["by_defect_type"]
    assert list(result) == ["good", "cut", "stain"]
    assert result["good"]["images"] == 3
    assert result["good"]["image_auroc"] is None and result["good"]["aupro"] is None
    # Of the two cuts, image 3 has no mask; the stain is image 5.
    for kind, rows in (("cut", [0, 1, 2, 4]), ("stain", [0, 1, 2, 5])):
        masks, maps = truth.masks[rows].ravel(), predictions.anomaly_map[rows].ravel()
        assert result[kind]["pixel_auroc"] == pytest.approx(metrics.roc_auc_score(masks, maps))
        expected = metrics.average_precision_score(masks, maps)
        assert result[kind]["pixel_average_precision"] == pytest.approx(expected)
        assert 0 < result[kind]["aupro"] <= 1
    assert result["cut"]["images"] == 2
    assert result["cut"]["flagged"] == 0.5
    assert result["cut"]["mean_normalized_score"] == pytest.approx(0.65)
    assert result["cut"]["image_auroc"] == pytest.approx(5 / 6)


def test_anomaly_without_a_kind_is_unknown(make):
    predictions, truth = _case(make, [0, 1], [0.1, 0.9], ["", ""])
    assert list(measure.measure_model(predictions, truth)["by_defect_type"]) == ["good", "unknown"]


@pytest.mark.parametrize(
    ("flagged", "normals", "consistent"), [(0, 50, True), (2, 50, True), (3, 50, True), (12, 50, False)]
)
def test_calibration_is_a_binomial_test_of_the_stated_rate(make, flagged, normals, consistent):
    scores = [0.9] * flagged + [0.1] * (normals - flagged) + [0.2]
    predictions, truth = _case(make, [0] * normals + [1], scores, [""] * (normals + 1))
    found = measure.measure_model(predictions, truth, stated_rate=0.03)["calibration"]
    assert found["stated_rate"] == 0.03 and found["normals"] == normals
    assert found["observed_rate"] == pytest.approx(flagged / normals)
    assert found["consistent"] is consistent
    # Clopper and Pearson's limits are the rates at which each tail of the binomial is 2.5 %.
    low, high = found["interval"]
    assert flagged == 0 or stats.binom.sf(flagged - 1, normals, low) == pytest.approx(0.025)
    assert stats.binom.cdf(flagged, normals, high) == pytest.approx(0.025)


def test_calibration_needs_a_stated_rate_and_normal_images(case, make):
    assert measure.measure_model(*case)["calibration"] is None
    assert measure.calibration(*_case(make, [1, 1], [0.1, 0.9], ["", ""]), 0.01) is None


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_what_needs_two_undefined(make, label):
    predictions, truth = _case(make, [label] * 3, [0.1, 0.6, 0.3], ["cut"] * 3)
    result = measure.measure_model(predictions, truth)
    for name in (*detection.IMAGE_MEASURES, "pixel_auroc", "pixel_average_precision", "aupro"):
        assert result[name] is None and name not in result["intervals"]
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
    assert set(result) == {"knn5", "pca64", "isolation_forest"}
    for name, values in result.items():
        assert values["train_images"] == 20
        assert values["image_auroc"] == 1.0
        assert values["intervals"]["image_auroc"] == (1.0, 1.0)
        assert values["pixel_auroc"] is None if name == "isolation_forest" else values["pixel_auroc"] > 0.9


def test_large_maps_are_measured_in_pieces(case, monkeypatch):
    everything = measure.measure_model(*case)
    monkeypatch.setattr(measure, "_CHUNK_PIXELS", 2 * 64)
    pieces = measure.measure_model(*case)
    # The order of a sum differs, and with it the last digit.
    assert pieces["aupro"] == pytest.approx(everything["aupro"])
    assert pieces["pixel_auroc"] == everything["pixel_auroc"]
    assert measure.count_not_finite(case[0]) == 0
