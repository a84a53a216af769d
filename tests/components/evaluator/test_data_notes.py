"""What the report says about drift and quarantine, as the drift detector and ingestion leave them."""

import io
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from proganomaly.components.data_validation import drift_executor
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.evaluator import executor, slices
from proganomaly.components.evaluator.data_notes import read_data_notes
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.images.near_identical import to_text
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import encode_image_example
from proganomaly.components.records.image_index import IndexEntry, write_index
from proganomaly.components.settings import to_json

QUARANTINE = [
    {"path": "span-2/<b>bomb</b>.png", "stage": "read", "reason": "too many pixels"},
    {"path": "span-2/copy.png", "stage": "duplicate", "reason": "the same pixels as a.png", "span": "2"},
    {"path": "span-2/torn.png", "stage": "read", "reason": "truncated"},
]


def _artifact(artifact_type, folder):
    one = artifact_type()
    one.uri = str(folder)
    return one


def _entry(random, span, number, shift):
    return IndexEntry(
        path=f"span-{span}/{number}.png",
        span=span,
        split="train",
        label=0,
        defect_type="good",
        group="",
        format="png" if span == 1 else "bmp",
        height=16,
        width=16,
        channels=1,
        brightness=random.normal(0.4 + shift, 0.03),
        contrast=random.normal(0.1, 0.01),
        sharpness=random.normal(0.1, 0.01),
        digest=f"{span} {number}",
        thumbnail=to_text(random.integers(0, 256, (16, 16), np.uint8)),
    )


def _examples(folder, shift):
    """Examples of two spans without records: their index and quarantine alone."""
    random = np.random.default_rng(0)
    entries = [_entry(random, span, i, shift * (span - 1)) for span in (1, 2) for i in range(40)]
    write_index(str(folder), entries)
    (folder / "quarantine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUARANTINE))
    examples = _artifact(standard_artifacts.Examples, folder)
    examples.split_names = "[]"
    examples.set_int_custom_property("span", 2)
    return examples


def _detect(examples, folder, **settings):
    output = _artifact(standard_artifacts.ExampleAnomalies, folder)
    settings = to_json(DriftSettings(report_images=3, **settings))
    drift_executor.Executor().Do({"examples": [examples]}, {"drift": [output]}, {"settings": settings})
    return output


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Examples of which the second span is brighter and of another format, and what was detected."""
    folder = tmp_path_factory.mktemp("shifted")
    (folder / "examples").mkdir()
    examples = _examples(folder / "examples", shift=0.1)
    return examples, _detect(examples, folder / "drift")


def test_notes_count_by_stage_and_list_the_first(shifted):
    examples, _ = shifted
    notes = read_data_notes(examples.uri, "", number=2)
    assert notes.quarantined == {"read": 2, "duplicate": 1}
    assert notes.first == QUARANTINE[:2]
    assert (notes.drift, notes.alarms, notes.pictures, notes.histograms) == (None, [], {}, {})


def test_notes_have_pictures_and_a_histogram_of_what_alarms(shifted):
    examples, drift = shifted
    notes = read_data_notes(examples.uri, drift.uri, number=20)
    assert [line.partition(":")[0] for line in notes.alarms] == ["brightness", "format"]
    assert set(notes.histograms) == {"brightness"}
    pictures = [picture["png"] for side in ("new", "reference") for picture in notes.pictures[side]]
    assert len(pictures) == 6
    for png in (*pictures, *notes.histograms.values()):
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"


def test_acknowledged_alarms_are_none_that_are_open(shifted, tmp_path):
    examples, _ = shifted
    notes = read_data_notes(examples.uri, _detect(examples, tmp_path, acknowledged=(2,)).uri, number=20)
    assert notes.drift["alarms"]
    assert notes.alarms == []


def test_examples_without_a_quarantine_have_nothing_to_tell(tmp_path):
    assert read_data_notes(str(tmp_path), "", number=20).quarantined == {}


@pytest.fixture
def page(make, tmp_path, monkeypatch):
    """Runs the evaluator on a few images, beside what was detected; returns its page as text."""
    monkeypatch.setattr(slices, "analyze", lambda predictions, folder: None)

    def run(examples, drift):
        records = {"train": [make.record("good", i, "train", None) for i in range(6)]}
        records["test"] = [make.record("good", i) for i in range(4)]
        for split, rows in records.items():
            path = tmp_path / "with records" / f"Split-{split}" / "data-0.tfrecord"
            path.parent.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for record in rows:
                    writer.write(encode_image_example(record))
        (tmp_path / "with records" / "quarantine.jsonl").write_bytes(
            tf.io.gfile.GFile(f"{examples.uri}/quarantine.jsonl", "rb").read()
        )
        held = _artifact(standard_artifacts.Examples, tmp_path / "with records")
        held.split_names = json.dumps(list(records))
        make.export_model(tmp_path / "model" / "Format-Serving", description=None)
        executor.Executor().Do(
            {
                "examples": [held],
                "model": [_artifact(standard_artifacts.Model, tmp_path / "model")],
                "drift": [drift],
            },
            {
                "evaluation": [_artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")],
                "blessing": [_artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")],
            },
            {
                "settings": to_json(EvaluatorSettings(report_images=1, report_quarantined=2)),
                "image_spec": to_json(ImageSpec(make.resolution, 1)),
                "baseline_model": "",
            },
        )
        return (tmp_path / "evaluation" / "report" / "index.html").read_text(encoding="utf-8")

    return run


def test_page_tells_drift_and_quarantine(shifted, page):
    html = page(*shifted)
    assert html.count("the newest span differs from those before it: ") == 2
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
    assert "40 normal images of span 2 (and 1 copies that were left out) beside 40 of span 1" in text
    assert re.search(r"format png 100\.0% bmp 100\.0% 1\.000 0\.\d{3} alarm", text)
    assert "read: 2, duplicate: 1. The first 2 are shown" in text
    assert "&lt;b&gt;bomb&lt;/b&gt;.png" in html
    assert "torn.png" not in html
    assert len(re.findall(r'alt="span-[12]/\d+\.png" src="data:image/png', html)) == 6


def test_page_of_a_first_span_says_that_there_is_nothing_to_compare_with(page, tmp_path):
    (tmp_path / "first").mkdir()
    examples = _examples(tmp_path / "first", shift=0.0)
    random = np.random.default_rng(0)
    write_index(examples.uri, [_entry(random, 1, i, 0.0) for i in range(40)])
    examples.set_int_custom_property("span", 1)
    html = page(examples, _detect(examples, tmp_path / "drift"))
    assert "Not compared: there is no earlier span to compare with." in html
    assert "the newest span differs" not in html
