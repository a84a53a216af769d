"""Which images a model is measured on, and what is known of them."""

import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator import held_out
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.images.spec import ImageSpec

SPEC = ImageSpec(16, 1)


def _collect(splits, **settings):
    data = held_out.Data(lambda split: iter(splits[split]), list(splits), SPEC)
    return held_out.collect(data, EvaluatorSettings(**settings))


def _names(records):
    return [record.filename for record in records]


@pytest.fixture(scope="module")
def normal(make):
    return [make.record("good", index) for index in range(6)]


@pytest.fixture(scope="module")
def calibration(make):
    return [make.record("good", index, "calibration", None) for index in range(6)]


@pytest.fixture(scope="module")
def unknown(make):
    return [make.record("good", index, "test", None) for index in range(6, 9)]


def test_labelled_anomalies_are_measured_as_they_are(make, calibration):
    records = make.test_records()
    held = _collect({"test": records, "calibration": calibration})
    assert (held.split, held.normals, held.anomalies) == ("test", "test", "labelled")
    assert held.records == records


def test_without_anomalies_normal_test_images_get_synthetic_ones(normal, unknown, calibration):
    held = _collect({"test": normal + unknown, "calibration": calibration}, synthetic_per_kind=1)
    assert (held.split, held.normals, held.anomalies) == ("test", "test", "synthetic")
    labels = [record.label for record in held.records]
    assert (labels.count(0), labels.count(1), labels.count(None)) == (3, 5, 3)
    assert set(_names(held.records[:3])) < set(_names(normal))
    assert held.records[-3:] == unknown


def test_without_normal_test_images_calibration_ones_get_them(unknown, calibration):
    held = _collect({"test": unknown, "calibration": calibration})
    assert (held.split, held.normals, held.anomalies) == ("test", "calibration", "synthetic")
    labels = [record.label for record in held.records]
    assert labels.count(0) == 3 and labels.count(None) == 3
    assert set(_names(held.records[:3])) < set(_names(calibration))


def test_without_a_test_split_the_calibration_images_are_all_there_is(calibration):
    held = _collect({"train": [], "calibration": calibration})
    assert (held.split, held.normals, held.anomalies) == ("calibration", "calibration", "synthetic")


@pytest.mark.parametrize("settings, number", [({"synthetic": "never"}, 6), ({}, 1)])
def test_no_synthetic_defects_where_none_are_wanted_or_possible(calibration, settings, number):
    held = _collect({"calibration": calibration[:number]}, **settings)
    assert held.anomalies == "none"
    assert _names(held.records) == _names(calibration[:number])
    # What is held out for calibration is normal by definition.
    assert [record.label for record in held.records] == [0] * number


@pytest.mark.parametrize(
    "splits, words",
    [
        ({"test": [], "calibration": []}, "the split test holds no images"),
        ({"train": [], "eval": []}, "needs a split named test or calibration; the data has train, eval"),
        ({}, "the data has none"),
    ],
)
def test_nothing_to_measure_on_is_refused(splits, words):
    with pytest.raises(UserError, match=words):
        _collect(splits)


def test_truth_of_each_kind_of_image(make):
    records = [
        make.record("good", 0),
        make.record("stain", 0, label=1),
        make.record("good", 1, label=None),
        make.record("good", 2, label=1),  # anomalous, without a mask
    ]
    truth = held_out.read_truth(records, SPEC)
    assert truth.labels.tolist() == [0, 1, -1, 1]
    assert truth.has_pixels.tolist() == [True, True, False, False]
    assert truth.masks.sum(axis=(1, 2)).tolist() == [0, 81, 0, 0]


def test_sample_is_bounded_and_does_not_depend_on_the_order(make):
    records = [make.record("good", index) for index in range(12)]
    sample = held_out.sample_images(iter(records), SPEC, limit=5)
    assert sample.shape == (5, 16, 16, 1)
    np.testing.assert_array_equal(held_out.sample_images(reversed(records), SPEC, limit=5), sample)
    assert len(held_out.sample_images(records, SPEC, limit=50)) == 12
    assert held_out.sample_images([], SPEC, limit=5).shape == (0, 16, 16, 1)
