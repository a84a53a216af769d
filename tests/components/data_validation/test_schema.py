"""The schema: what ships, what the first run derives, what a person makes of it."""

import dataclasses
from importlib import resources

import pytest
import tensorflow_data_validation as tfdv

from proganomaly.components.data_validation import schema as schemas
from proganomaly.components.data_validation.statistics import compute_statistics
from proganomaly.components.errors import UserError
from proganomaly.components.records.image_example import STATISTICS_FEATURES


@pytest.fixture(scope="module")
def curated():
    file = resources.files("proganomaly.pipeline") / "schema" / "schema.pbtxt"
    return schemas.parse(file.read_text(), "that ships")


@pytest.fixture(scope="module")
def entries(make):
    return make.entries(40, span=0, seed=1)


@pytest.fixture(scope="module")
def derived(curated, entries):
    return schemas.derive(curated, compute_statistics(entries).datasets)


def anomalous(schema, entries, **fields):
    """Returns the names of the features of which TFDV complains."""
    changed = [dataclasses.replace(entry, **fields) for entry in entries]
    return set(tfdv.validate_statistics(compute_statistics(changed), schema).anomaly_info)


def test_shipped_schema_knows_every_feature_that_has_statistics(curated):
    assert {feature.name for feature in curated.feature} == set(STATISTICS_FEATURES)


@pytest.mark.parametrize(
    ("name", "fine", "wrong"),
    [
        ("brightness", 1.0, 1.01),
        ("contrast", 0.5, 0.51),
        ("sharpness", 7.0, -0.1),
        ("brightness", 0.0, float("nan")),
        ("height", 1, 0),
        ("width", 100_000, 0),
        ("channels", 4, 5),
        ("format", "webp", "psd"),
    ],
)
def test_shipped_schema_allows_what_images_can_have_and_no_more(curated, entries, name, fine, wrong):
    assert anomalous(curated, entries, **{name: fine}) == set()
    assert anomalous(curated, entries, **{name: wrong}) == {name}


def test_what_a_schema_was_derived_from_is_no_anomaly(derived, entries):
    assert anomalous(derived, entries) == set()


def test_other_images_of_the_same_kind_are_no_anomaly(derived, make):
    assert anomalous(derived, make.entries(40, span=1, seed=2)) == set()


@pytest.mark.parametrize(
    ("name", "fine", "wrong"),
    [
        ("height", 32, 31),
        ("width", 128, 129),
        ("channels", 1, 3),
        ("format", "png", "jpeg"),
        ("brightness", 0.4, 0.95),
        ("contrast", 0.1, 0.5),
        ("sharpness", 0.08, 0.9),
    ],
)
def test_derived_schema_has_slack_and_an_end(derived, entries, name, fine, wrong):
    assert anomalous(derived, entries, **{name: fine}) == set()
    assert anomalous(derived, entries, **{name: wrong}) == {name}


def test_derived_schema_never_allows_more_than_the_shipped_one(curated, entries):
    bright = [dataclasses.replace(entry, brightness=0.95, channels=4) for entry in entries]
    derived = schemas.derive(curated, compute_statistics(bright).datasets)
    assert anomalous(derived, bright, brightness=1.0) == set()
    assert anomalous(derived, bright, brightness=1.01) == {"brightness"}


def test_labels_masks_and_new_kinds_of_defects_are_no_anomaly(derived, entries):
    assert anomalous(derived, entries, label=1, defect_type="never seen before") == set()


def test_kept_schema_is_read_as_it_was_written(derived, tmp_path):
    path = str(tmp_path / "schema" / "schema.pbtxt")
    assert schemas.read_kept(path) is None
    schemas.write_kept(path, derived)
    assert schemas.read_kept(path) == derived


def test_fingerprint_tells_edits_alone(derived, tmp_path):
    path = tmp_path / "schema.pbtxt"
    assert schemas.edited_fingerprint(str(path)) == ""
    schemas.write_kept(str(path), derived)
    written = path.read_text()
    assert schemas.edited_fingerprint(str(path)) == ""
    path.write_text(written.replace("max: 128", "max: 256"))
    edited = schemas.edited_fingerprint(str(path))
    assert edited
    path.write_text(written.replace("max: 128", "max: 512"))
    assert schemas.edited_fingerprint(str(path)) not in ("", edited)
    path.write_text(written)
    assert schemas.edited_fingerprint(str(path)) == ""


def test_file_that_is_no_schema_is_refused_in_one_line(tmp_path):
    path = tmp_path / "mine.pbtxt"
    path.write_text("feature { naem: 'height' }")
    with pytest.raises(UserError, match=r"the schema .*mine\.pbtxt cannot be read: 1:11 : .*naem") as raised:
        schemas.read_kept(str(path))
    assert "\n" not in str(raised.value)
