"""Whole images judged by their tiles, against scikit-learn and the probability written out."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.evaluator.source_images import measure_sources


def _predictions(make, tiles: list[tuple[str, float]]) -> Predictions:
    record = make.record("good", 0)
    count = len(tiles)
    p_value = np.array([p for _, p in tiles], np.float32)
    return Predictions(
        records=[dataclasses.replace(record, filename=name) for name, _ in tiles],
        labels=np.zeros(count, np.int64),
        score=1 - p_value,
        normalized_score=1 - p_value,
        p_value=p_value,
        is_anomaly=p_value < 0.1,
        threshold=0.9,
        anomaly_map=np.zeros((count, 4, 4), np.float32),
        components={},
    )


def test_each_image_counts_once_by_its_corrected_p_value(make):
    random = np.random.default_rng(7)
    truth, corrected, tiles, labels = [], [], [], []
    for number in range(30):
        count, anomalous = int(random.integers(1, 9)), number % 3 == 0
        p_values = random.uniform(0.001, 1, count) * (0.3 if anomalous else 1)
        tiles += [(f"{number}.png#0,{8 * tile}", p) for tile, p in enumerate(p_values)]
        labels += [int(anomalous and tile == 0) for tile in range(count)]
        truth.append(int(anomalous))
        corrected.append(1 - (1 - p_values.min()) ** count)
    truth, corrected = np.array(truth), np.array(corrected)
    found = measure_sources(_predictions(make, tiles), np.array(labels), 0.2)
    assert (found["images"], found["anomalies"]) == (30, 10)
    assert found["image_auroc"] == pytest.approx(roc_auc_score(truth, -corrected))
    assert found["recall"] == pytest.approx((corrected < 0.2)[truth == 1].mean())
    assert found["false_positive_rate"] == pytest.approx((corrected < 0.2)[truth == 0].mean())


def test_what_is_not_known_is_left_out(make):
    tiles = [("a.png#0,0", 0.5), ("a.png#0,8", 0.01), ("b.png#0,0", 0.9), ("b.png#0,8", 0.0)]
    found = measure_sources(_predictions(make, tiles), np.array([0, 0, 0, -1]), None)
    assert found == {
        "images": 1,
        "anomalies": 0,
        "image_auroc": None,
        "recall": None,
        "false_positive_rate": None,
    }


def test_a_p_value_of_one_is_no_error(make):
    found = measure_sources(
        _predictions(make, [("a.png#0,0", 1.0), ("b.png#0,0", 0.0)]), np.array([0, 1]), 0.1
    )
    assert (found["image_auroc"], found["recall"], found["false_positive_rate"]) == (1, 1, 0)
