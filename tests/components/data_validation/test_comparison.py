"""Distances and thresholds of chance, against SciPy, TFDV on raw values, and exact counts."""

import math

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import schema_pb2

from proganomaly.components.data_validation.comparison import compare, divergences

LOW = {"value": 0.0}


def column(*values):
    return {"value": np.array(values)}


def test_divergences_are_those_of_scipy():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 9, (2, 50, 6))
    first[:, 0] += 1
    second[:, 0] += 1
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(divergences(first, second), expected, atol=1e-12)


def test_distance_of_texts_is_what_tfdv_finds_in_raw_values():
    old, new = ["png"] * 30 + ["jpeg"] * 10, ["png"] * 5 + ["jpeg"] * 10 + ["bmp"] * 5
    schema = schema_pb2.Schema()
    feature = schema.feature.add(name="value", type=schema_pb2.BYTES)
    feature.drift_comparator.jensen_shannon_divergence.threshold = 0
    raw = [tfdv.generate_statistics_from_dataframe(pd.DataFrame({"value": values})) for values in (new, old)]
    expected = tfdv.validate_statistics(raw[0], schema, previous_statistics=raw[1])
    found = compare(column(*old), column(*new), LOW, 0.01)
    (measured,) = expected.drift_skew_info[0].drift_measurements
    assert found.features["value"].distance == pytest.approx(measured.value, abs=1e-9)
    assert found.features["value"].alarm
    assert set(found.anomalies.anomaly_info) == {"value"}


def test_distance_of_numbers_is_that_of_bins_of_equally_many_images():
    old, new = np.arange(100.0), np.arange(50.0, 75.0)
    # 25 new ones: five bins. Of 125 ranked images 25 fall into each; from 50 on every number is there twice.
    rank = np.argsort(np.argsort(np.concatenate([old, new]), kind="stable"), kind="stable")
    bins = rank // 25
    expected = (
        jensenshannon(np.bincount(bins[:100], minlength=5), np.bincount(bins[100:], minlength=5), 2) ** 2
    )
    found = compare({"value": old}, {"value": new}, LOW, 0.01).features["value"]
    assert found.distance == pytest.approx(expected, abs=0.02)


def test_outlier_does_not_hide_a_change_of_all_others():
    random = np.random.default_rng(0)
    old = np.append(random.normal(0, 1, 300), 1e6)
    assert compare({"value": old}, {"value": random.normal(2, 1, 60)}, LOW, 0.01).features["value"].alarm


def test_threshold_of_chance_is_the_exact_quantile():
    # Of 6 + 3 images two are "a": the number among the 3 new ones is hypergeometric.
    old, new = ["a", "a", "b", "b", "b", "b"], ["b", "b", "b"]
    distances = {k: jensenshannon([2 - k, 4 + k], [k, 3 - k], 2) ** 2 for k in range(3)}
    chances = {k: math.comb(2, k) * math.comb(7, 3 - k) / math.comb(9, 3) for k in range(3)}
    for rate in (0.02, 0.05, 0.2, 0.45):
        allowed = [
            one
            for one in distances.values()
            if sum(chances[k] for k in chances if distances[k] > one + 1e-9) <= rate
        ]
        found = compare(column(*old), column(*new), LOW, rate).features["value"]
        assert found.threshold == pytest.approx(min(allowed), abs=1e-6), rate


def test_equal_images_never_alarm():
    found = compare(column(64, 64, 64), column(64, 64), LOW, 0.01).features["value"]
    assert (found.distance, found.alarm) == (0, False)


def test_new_size_alarms_however_rare_it_is_among_all():
    for size in (32, 65, 4096):
        old, new = {"value": np.full(10_000, 64)}, {"value": np.full(20, size)}
        assert compare(old, new, LOW, 0.01).features["value"].alarm


def test_sets_too_small_for_any_alarm_are_told():
    # Of 23 in four bins, three fall into one bin together with a chance of about 4.5 %.
    old, new = {"value": np.arange(20)}, {"value": np.array([97, 98, 99])}
    assert not compare(old, new, LOW, 0.01).can_alarm
    assert compare(old, new, LOW, 0.1).can_alarm


def test_share_of_false_alarms_is_the_stated_one_at_most():
    # Of 200 spans of which chance alone decides 10 may alarm on average, and more than 19 in one try of 500.
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        old, new = (_drawn(random, number) for number in (100, 25))
        features = compare(old, new, dict.fromkeys(old, 0.0), 0.05).features
        found += any(one.alarm for one in features.values())
    assert found <= 19


def test_share_of_alarms_at_a_shifted_lamp():
    random = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        old, new = _drawn(random, 300), _drawn(random, 20)
        found += (
            compare(old, {**new, "light": 1.2 * new["light"]}, dict.fromkeys(old, 0.05), 0.01)
            .features["light"]
            .alarm
        )
    assert found >= 45


def _drawn(random, number):
    """Light that is log-normal, with a spread of 12 %, and two features that depend on it."""
    light = np.exp(random.normal(0, 0.12, number))
    return {
        "light": 0.4 * light,
        "contrast": 0.1 * light * np.exp(random.normal(0, 0.1, number)),
        "sharpness": 0.1 * light * np.exp(random.normal(0, 0.3, number)),
    }
