"""The three executors on Examples of two spans, as ingestion leaves them."""

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as validator
from tfx.types import artifact_utils, channel, standard_artifacts

from proganomaly.components.data_validation import (
    component,
    drift_executor,
    schema_executor,
    statistics_executor,
)
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.errors import UserError
from proganomaly.components.records.image_example import ImageRecord, encode_image_example
from proganomaly.components.records.image_index import PREVIOUS_INDEX_FILE, write_index
from proganomaly.components.settings import from_json, to_json
from proganomaly.pipeline.pipeline import curated_schema


def artifact(artifact_type, folder):
    one = artifact_type()
    one.uri = str(folder)
    return one


class Spans:
    """Examples of two spans, the second under a lamp of choice; a fifth of each is for calibration."""

    def __init__(self, make, folder, lamp=1.0):
        self.entries, records = [], []
        for span, (number, light) in enumerate(((60, 1.0), (30, lamp)), 1):
            for i, pixels in enumerate(make.crops(number, span, light)):
                split = "train" if i % 5 else "calibration"
                entry = make.entry(pixels, span, i, split=split)
                self.entries.append(entry)
                records.append((split, _record(pixels, entry)))
        for split in ("train", "calibration"):
            path = folder / f"Split-{split}" / "data-0.tfrecord"
            path.parent.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for own, record in records:
                    if own == split:
                        writer.write(encode_image_example(record))
        write_index(str(folder), self.entries)
        (folder / "quarantine.jsonl").write_text(
            '{"path": "span-2/a.png", "stage": "decode", "reason": "truncated"}\n'
            '{"path": "span-2/b.png", "stage": "duplicate", "reason": "copy of c.png", "span": "2"}\n'
        )
        self.artifact = artifact(standard_artifacts.Examples, folder)
        self.artifact.split_names = artifact_utils.encode_split_names(["train", "calibration"])
        self.artifact.set_int_custom_property("span", 2)


def _record(pixels, entry):
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "PNG")
    known = {field.name: getattr(entry, field.name, None) for field in dataclasses.fields(ImageRecord)}
    return ImageRecord(**{**known, "image": file.getvalue(), "filename": entry.path})


@pytest.fixture(scope="module")
def steady(make, tmp_path_factory):
    return Spans(make, tmp_path_factory.mktemp("steady"))


@pytest.fixture(scope="module")
def shifted(make, tmp_path_factory):
    return Spans(make, tmp_path_factory.mktemp("shifted"), lamp=1.2)


def detect(spans, folder, **settings):
    """Runs the drift detector; returns its artifact and what it wrote down."""
    output = artifact(standard_artifacts.ExampleAnomalies, folder)
    drift_executor.Executor().Do(
        {"examples": [spans.artifact]},
        {"drift": [output]},
        {"settings": to_json(DriftSettings(**settings)), "code_version": "1"},
    )
    return output, json.loads((folder / "drift.json").read_text())


def test_shifted_lamp_warns_with_numbers_and_pictures(shifted, tmp_path, capsys):
    output, drift = detect(shifted, tmp_path, report_images=4)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"warning: drift of span 2: {line}" for line in drift["alarms"]]
    assert printed[0].startswith("warning: drift of span 2: brightness: mean 0.")
    assert output.get_int_custom_property("alarms") == len(printed)
    assert (output.span, drift["copies"]) == (2, 1)
    shown = drift["pictures"]
    assert [len(shown[side]) for side in ("new", "reference")] == [4, 4]
    for side, spans in (("new", {2}), ("reference", {1})):
        assert {one["span"] for one in shown[side]} == spans
        entries = {entry.path: entry for entry in shifted.entries}
        for one in shown[side]:
            with Image.open(tmp_path / one["file"]) as picture:
                # The real image, not its 16 x 16 thumbnail.
                assert picture.size == (64, 64)
                assert np.asarray(picture).mean() / 255 == pytest.approx(entries[one["path"]].brightness)


def test_farthest_images_are_shown_first(shifted, tmp_path):
    _, drift = detect(shifted, tmp_path, report_images=3)
    brightness = {entry.path: entry.brightness for entry in shifted.entries}
    shown = [brightness[one["path"]] for one in drift["pictures"]["new"]]
    assert min(shown) > np.quantile([entry.brightness for entry in shifted.entries if entry.span == 1], 0.9)


def test_verdict_and_statistics_are_those_of_tfdv(shifted, tmp_path):
    _, drift = detect(shifted, tmp_path)
    verdict = anomalies_pb2.Anomalies.FromString((tmp_path / "SchemaDiff.pb").read_bytes())
    assert {name for name, one in drift["features"].items() if one["alarm"]} == set(verdict.anomaly_info)
    statistics = tfdv.load_stats_binary(str(tmp_path / "Split-new" / "FeatureStats.pb"))
    (brightness,) = (one for one in statistics.datasets[0].features if one.path.step[0] == "brightness")
    assert brightness.num_stats.mean == pytest.approx(drift["features"]["brightness"]["new"]["mean"])


def test_steady_lamp_says_nothing(steady, tmp_path, capsys):
    output, drift = detect(steady, tmp_path)
    assert (drift["alarms"], drift["pictures"], capsys.readouterr().out) == ([], {}, "")
    assert output.get_int_custom_property("alarms") == 0


def test_drift_stops_the_run_in_one_line_where_it_is_to(shifted, tmp_path):
    with pytest.raises(
        UserError, match=r"span 2 differs .*brightness: .*--drift\.acknowledged=\[2\]"
    ) as raised:
        detect(shifted, tmp_path, on_drift="stop")
    assert "\n" not in str(raised.value)
    # What it saw can be looked up all the same.
    assert json.loads((tmp_path / "drift.json").read_text())["alarms"]


def test_acknowledged_drift_goes_on_and_is_told(shifted, tmp_path, capsys):
    _, drift = detect(shifted, tmp_path, on_drift="stop", acknowledged=(2,))
    assert drift["acknowledged"]
    assert capsys.readouterr().out.startswith("drift of span 2, acknowledged: brightness: ")
    with pytest.raises(UserError, match="span 2 differs"):
        detect(shifted, tmp_path, on_drift="stop", acknowledged=(1,))


def test_ignored_drift_is_written_down_alone(shifted, tmp_path, capsys):
    _, drift = detect(shifted, tmp_path, on_drift="ignore")
    assert drift["alarms"]
    assert capsys.readouterr().out == ""


def test_single_span_is_compared_with_those_that_left_the_window(make, tmp_path):
    spans = Spans(make, tmp_path / "examples", lamp=1.2)
    old = [dataclasses.replace(entry, split="") for entry in spans.entries if entry.span == 1]
    write_index(spans.artifact.uri, [entry for entry in spans.entries if entry.span == 2])
    assert detect(spans, tmp_path / "alone")[1]["status"] == "there is no earlier span to compare with"
    write_index(spans.artifact.uri, old, PREVIOUS_INDEX_FILE)
    (tmp_path / "examples" / "Split-train" / "data-0.tfrecord").unlink()
    _, drift = detect(spans, tmp_path / "with")
    assert drift["features"]["brightness"]["alarm"]
    # Of images that are not there any more the thumbnail is shown.
    with Image.open(tmp_path / "with" / drift["pictures"]["reference"][0]["file"]) as picture:
        assert picture.size == (96, 96)


class Schema:
    """Statistics, schema and TFX's ExampleValidator, as the pipeline joins them."""

    def __init__(self, folder, kept):
        self.folder, self.kept = folder, kept

    def validate(self, spans, name):
        """Returns the anomalies of each split, by feature."""
        folder = self.folder / name
        statistics = artifact(standard_artifacts.ExampleStatistics, folder / "statistics")
        statistics_executor.Executor().Do({"examples": [spans.artifact]}, {"statistics": [statistics]}, {})
        schema = artifact(standard_artifacts.Schema, folder / "schema")
        schema_executor.Executor().Do(
            {"statistics": [statistics]},
            {"schema": [schema]},
            {"curated": curated_schema(), "kept_at": str(self.kept), "edited": "", "code_version": "1"},
        )
        assert schema.get_string_custom_property("kept_at") == str(self.kept)
        anomalies = artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies")
        validator.Executor().Do(
            {"statistics": [statistics], "schema": [schema]}, {"anomalies": [anomalies]}, {}
        )
        return {
            split: set(
                anomalies_pb2.Anomalies.FromString(
                    (folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
                ).anomaly_info
            )
            for split in artifact_utils.decode_split_names(anomalies.split_names)
        }


def test_later_spans_are_validated_against_the_schema_of_the_first_run(make, steady, tmp_path):
    schema = Schema(tmp_path, tmp_path / "kept" / "schema.pbtxt")
    assert schema.validate(steady, "first") == {"train": set(), "calibration": set()}
    kept = schema.kept.read_text()

    other = Spans(make, tmp_path / "other")
    entries = [
        dataclasses.replace(entry, format="jpeg", height=400) if entry.split == "train" else entry
        for entry in other.entries
    ]
    write_index(other.artifact.uri, entries)
    assert schema.validate(other, "later") == {"train": {"format", "height"}, "calibration": set()}
    assert schema.kept.read_text() == kept

    schema.kept.write_text(kept.replace('value: "png"', 'value: "png" value: "jpeg"'))
    assert schema.validate(other, "edited") == {"train": {"height"}, "calibration": set()}
    schema.kept.unlink()
    assert schema.validate(other, "derived anew") == {"train": set(), "calibration": set()}


def test_kept_schema_that_cannot_be_written_is_one_line(steady, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"the schema .*schema\.pbtxt cannot be written to: "):
        Schema(tmp_path, tmp_path / "file" / "schema.pbtxt").validate(steady, "first")


def test_components_carry_settings_and_outputs():
    examples = channel.Channel(type=standard_artifacts.Examples)
    drift = component.DriftDetector(examples, DriftSettings(acknowledged=(4, 7)), code_version="3")
    assert from_json(DriftSettings, drift.exec_properties["settings"]) == DriftSettings(acknowledged=(4, 7))
    assert drift.outputs["drift"].type is standard_artifacts.ExampleAnomalies
    statistics = component.ImageStatistics(examples, code_version="3")
    assert statistics.outputs["statistics"].type is standard_artifacts.ExampleStatistics
    schema = component.ImageSchema(statistics.outputs["statistics"], "", "kept", "edited")
    assert schema.exec_properties["edited"] == "edited"
    assert schema.outputs["schema"].type is standard_artifacts.Schema
