"""Drift between spans of real crops: what alarms, what does not, and how often chance does."""

import dataclasses
import re

import numpy as np
import pytest

from proganomaly.components.data_validation.drift import detect
from proganomaly.components.data_validation.settings import DriftSettings, DriftThresholds
from proganomaly.components.errors import SettingsError

SETTINGS = DriftSettings()
ANY_DISTANCE = DriftThresholds(brightness=0, contrast=0, sharpness=0)


@pytest.fixture(scope="module")
def reference(make):
    return [*make.entries(150, span=1, seed=1), *make.entries(150, span=2, seed=2)]


def alarms(entries, previous=(), copies=None, settings=SETTINGS, newest=0):
    return detect(entries, previous, copies or {}, newest, settings)


@pytest.mark.parametrize("number", [20, 60, 300])
@pytest.mark.parametrize("lamp", [0.8, 1.2])
def test_lamp_that_shifts_by_a_fifth_alarms(make, reference, number, lamp):
    drift = alarms([*reference, *make.entries(number, span=3, seed=7, lamp=lamp)])
    assert "brightness" in drift.alarming
    (line,) = (line for line in drift.summary["alarms"] if line.startswith("brightness: mean "))
    before, after = line.split(",")[0].removeprefix("brightness: mean ").split(" -> ")
    assert float(after) / float(before) == pytest.approx(lamp, rel=0.05)
    assert drift.summary["span"] == 3
    assert drift.summary["reference_spans"] == [1, 2]


@pytest.mark.parametrize("number", [20, 60, 300])
def test_span_of_the_same_images_does_not_alarm(make, reference, number):
    drift = alarms([*reference, *make.entries(number, span=3, seed=7)])
    assert drift.summary["status"] == "compared"
    assert drift.summary["alarms"] == []


def test_each_kind_of_change_alarms_under_its_own_name(make, reference):
    new = make.entries(60, span=3, seed=7)
    assert alarms([*reference, *_changed(new, height=128)]).alarming == ["height"]
    assert alarms([*reference, *_changed(new, width=32)]).alarming == ["width"]
    assert alarms([*reference, *_changed(new, channels=3)]).alarming == ["channels"]
    other = alarms([*reference, *_changed(new, format="jpeg")])
    assert other.alarming == ["format"]
    assert other.summary["alarms"][0].startswith("format: jpeg 0% -> 100%, Jensen-Shannon 1.00, threshold 0.")
    assert "sharpness" in alarms([*reference, *make.entries(60, span=3, seed=7, blur=True)]).alarming


def test_hanging_camera_alarms(make, reference):
    # A sensor's noise keeps the pictures from being equal.
    random = np.random.default_rng(0)
    (still,) = make.crops(1, seed=9)
    pictures = [
        np.clip(still + random.normal(0, 1, still.shape).round(), 0, 255).astype(np.uint8) for _ in range(30)
    ]
    new = make.entries(30, span=3, seed=7)[:15]
    hung = [make.entry(pixels, 3, 100 + i) for i, pixels in enumerate(pictures)]
    drift = alarms([*reference, *new, *hung])
    assert "near_identical" in drift.alarming
    (line,) = (line for line in drift.summary["alarms"] if line.startswith("near-identical images: "))
    assert line.startswith("near-identical images: 0% -> 67%")


def test_copies_that_ingestion_left_out_count_as_near_identical(make, reference):
    new = make.entries(30, span=3, seed=7)
    assert alarms([*reference, *new], copies={3: 1}).alarming == []
    assert alarms([*reference, *new], copies={3: 30}).alarming == ["near_identical"]
    only = alarms(reference, copies={3: 30}, newest=3)
    assert only.alarming == ["near_identical"]
    assert (only.summary["span"], only.summary["images"], only.summary["copies"]) == (3, 0, 30)


def test_anomalies_and_test_images_are_not_compared(make, reference):
    new = make.entries(60, span=3, seed=7)
    strange = make.entries(60, span=3, seed=8, lamp=2)
    entries = [*reference, *new, *_changed(strange[:30], label=1), *_changed(strange[30:], split="test")]
    drift = alarms(entries)
    assert (drift.summary["images"], drift.summary["alarms"]) == (60, [])


def test_without_an_earlier_span_nothing_is_compared(make):
    only = make.entries(20, span=3, seed=7)
    drift = alarms(only)
    assert drift.summary["status"] == "there is no earlier span to compare with"
    assert drift.summary["alarms"] == []
    assert alarms([], newest=3).summary["status"] == "there is no earlier span to compare with"


def test_spans_that_left_the_window_are_the_reference_of_a_single_one(make):
    # Their splits were never chosen where a hash decides, and an anomaly among them is no reference.
    previous = make.entries(150, span=1, seed=1, split="")
    previous += make.entries(150, span=1, seed=1, lamp=1.2, split="", label=1)
    drift = alarms(make.entries(60, span=3, seed=7, lamp=1.2), previous)
    assert "brightness" in drift.alarming
    assert (drift.summary["reference_spans"], drift.summary["reference_images"]) == ([1], 150)
    assert alarms(make.entries(60, span=3, seed=7), previous).alarming == []


def test_newest_span_without_normal_images_is_told(make, reference):
    assert alarms(reference, newest=3).summary["status"] == "the newest span has no normal images"


def test_too_few_images_for_any_alarm_are_told(make, reference):
    drift = alarms([*reference, *make.entries(1, span=3, seed=7, lamp=2)])
    assert drift.alarming == []
    assert "1 new images and 300 to compare with are too few for any alarm" in drift.summary["notes"][0]


def test_least_distance_of_a_feature_holds_back_its_alarm(make, reference):
    entries = [*reference, *make.entries(300, span=3, seed=7, lamp=1.05)]
    assert "brightness" in alarms(entries, settings=DriftSettings(thresholds=ANY_DISTANCE)).alarming
    least = dataclasses.replace(ANY_DISTANCE, brightness=0.5)
    assert "brightness" not in alarms(entries, settings=DriftSettings(thresholds=least)).alarming


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on_drift": "panic"}, "on_drift must be one of warn, stop, ignore; received 'panic'"),
        ({"false_alarm_rate": 0}, "false_alarm_rate must be at least 0.001"),
        ({"near_identical": -1}, "near_identical must be at least 0 and at most 255; received -1"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        DriftSettings(**change)


def test_impossible_threshold_is_refused():
    with pytest.raises(
        SettingsError, match=r"thresholds.format must be at least 0 and at most 1; received 2"
    ):
        DriftThresholds(format=2)


def _changed(entries, **fields):
    return [dataclasses.replace(entry, **fields) for entry in entries]
