"""Drift between spans of real crops: what alarms, what does not, and how often chance does."""

import dataclasses

import numpy as np
import pytest

from proganomaly.components.data_validation.drift import detect
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.errors import SettingsError

SETTINGS = DriftSettings()


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


def test_share_of_false_alarms_is_the_stated_one_at_most():
    # Without a least distance, so that chance alone decides. Of 200 spans 32 alarms in a twentieth is what the
    # stated rate exceeds with a probability below 1e-8.
    settings = dataclasses.replace(
        SETTINGS,
        false_alarm_rate=0.05,
        thresholds=dataclasses.replace(SETTINGS.thresholds, brightness=0, contrast=0, sharpness=0),
    )
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        entries = [_drawn(random, span) for span in [0] * 100 + [1] * 25]
        found += bool(alarms(entries, settings=settings).alarming)
    assert found < 25


def _drawn(random, span):
    """An image of which light, contrast and sharpness are log-normal and depend on each other."""
    from proganomaly.components.records.image_index import IndexEntry

    light = np.exp(random.normal(0, 0.15))
    return IndexEntry(
        path=f"{span}/{random.integers(2**60)}",
        span=span,
        split="train",
        label=0,
        defect_type="good",
        group="",
        format="png",
        height=64,
        width=64,
        channels=1,
        brightness=0.4 * light,
        contrast=0.1 * light * np.exp(random.normal(0, 0.1)),
        sharpness=0.1 * light * np.exp(random.normal(0, 0.3)),
        digest="",
        thumbnail=_noise(random),
    )


def _noise(random):
    from proganomaly.components.images.near_identical import to_text

    return to_text(random.integers(0, 256, (16, 16), np.uint8))
