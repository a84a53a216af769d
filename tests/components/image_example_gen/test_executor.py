"""The executor alone: windows of spans, what is kept of them, what is counted."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen import inspected, sources
from proganomaly.components.images.spec import Reading
from proganomaly.components.records.image_example import read_image_examples
from proganomaly.components.records.image_index import PREVIOUS_INDEX_FILE, read_index


def records(examples, split="*"):
    """All records of an artifact by file name."""
    return {record.filename: record for record in read_image_examples(f"{examples.uri}/Split-{split}")}


def quarantine(examples):
    with open(f"{examples.uri}/quarantine.jsonl") as file:
        return [json.loads(line) for line in file]


def counts(examples):
    names = ("images_found", "images_ingested", "images_quarantined", "files_passed_over")
    return tuple(examples.get_int_custom_property(name) for name in names)


@pytest.fixture
def spans(tmp_path, save):
    """Three daily folders of 8 images each, all different."""
    for day in (1, 2, 3):
        for index in range(8):
            save(tmp_path / f"in/2024-01-0{day}/{index}.png", seed=10 * day + index)
    return tmp_path


PATTERN = "{YYYY}-{MM}-{DD}"


def test_a_window_reads_new_spans_alone(spans, execute, monkeypatch):
    opened = []
    real = sources.open_file

    def noted(listing, file):
        opened.append(f"{listing.root.rpartition('/')[2]}/{file.path}")
        return real(listing, file)

    monkeypatch.setattr(inspected, "open_file", noted)
    first = execute(f"{spans}/in/{PATTERN}", spans / "1", spans / "store", window=2)
    assert len(opened) == 16 and counts(first) == (16, 16, 0, 0)
    names = {f"2024-01-0{day}/{index}.png" for day in (2, 3) for index in range(8)}
    splits = {split: set(records(first, split)) for split in ("train", "calibration")}
    assert splits["train"] | splits["calibration"] == names
    assert not splits["train"] & splits["calibration"]
    assert {record.span for record in records(first, "train").values()} == {19724, 19725}

    opened.clear()
    shutil.copytree(spans / "in/2024-01-01", spans / "in/2024-01-05")
    second = execute(f"{spans}/in/{PATTERN}", spans / "2", spans / "store", window=2)
    assert {name.partition("/")[0] for name in opened} == {"2024-01-05"}
    assert second.get_int_custom_property("span") == 19727
    kept = {name: record for split in splits for name, record in records(second, split).items()}
    assert set(kept) == {f"2024-01-0{day}/{index}.png" for day in (3, 5) for index in range(8)}
    before = {name: split for split in splits for name in splits[split] if name in kept}
    after = {entry.path: entry.split for entry in read_index(second.uri)}
    assert {name: after[name] for name in before} == before
    # What has left the window is remembered without its images.
    assert {entry.path[:10] for entry in read_index(second.uri, PREVIOUS_INDEX_FILE)} == {"2024-01-02"}
    shards = [path.parent.name for path in (spans / "store").rglob("images-*")]
    assert {name.split("-")[1] for name in shards} == {"19725", "19727"}


def test_a_late_file_has_its_span_read_again(spans, execute, save, monkeypatch):
    execute(f"{spans}/in/{PATTERN}", spans / "1", spans / "store", window=3)
    opened = []
    real = sources.open_file
    monkeypatch.setattr(
        inspected, "open_file", lambda listing, file: opened.append(listing.root) or real(listing, file)
    )
    save(spans / "in/2024-01-01/late.png", seed=99)
    examples = execute(f"{spans}/in/{PATTERN}", spans / "2", spans / "store", window=3)
    assert set(opened) == {f"{spans}/in/2024-01-01"} and len(opened) == 9
    assert counts(examples)[0] == 25
    assert len(list((spans / "store").iterdir())) == 3


def test_a_run_that_died_leaves_nothing_that_counts(spans, execute, monkeypatch):
    monkeypatch.setattr(inspected, "finish_span", lambda target: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        execute(f"{spans}/in/{PATTERN}", spans / "1", spans / "store")
    monkeypatch.undo()
    (left,) = (spans / "store").iterdir()
    (left / "images-of-a-dead-worker.tfrecord").write_bytes(b"half")
    (left / ".images-hidden.tfrecord").write_bytes(b"half")
    examples = execute(f"{spans}/in/{PATTERN}", spans / "2", spans / "store", window=2)
    assert counts(examples) == (16, 16, 0, 0)
    assert not list((spans / "store").rglob("*dead*")) + list((spans / "store").rglob(".images*"))


def test_shards_that_no_row_names_are_removed(spans, execute, monkeypatch):
    real = inspected.finish_span

    def finish(target):
        (pathlib.Path(target.folder) / "images-orphan.tfrecord").write_bytes(b"half")
        real(target)

    monkeypatch.setattr(inspected, "finish_span", finish)
    examples = execute(f"{spans}/in/{PATTERN}", spans / "out", spans / "store", window=3)
    assert counts(examples) == (24, 24, 0, 0)
    assert not list((spans / "store").rglob("*orphan*"))


def test_without_a_store_nothing_but_the_artifact_is_left(spans, execute):
    examples = execute(spans / "in/2024-01-01", spans / "out")
    names = {path.name for path in (spans / "out").iterdir()}
    assert names == {"Split-train", "Split-calibration", "index.jsonl", "quarantine.jsonl"}
    assert all(path.name.endswith(".tfrecord") for path in (spans / "out").glob("Split-*/*"))
    assert set(records(examples)) == {f"{index}.png" for index in range(8)}


def test_other_settings_of_splits_do_not_read_again_and_other_code_does(spans, execute, monkeypatch):
    opened = []
    real = sources.open_file
    monkeypatch.setattr(inspected, "open_file", lambda *args: opened.append(1) or real(*args))
    arguments = (f"{spans}/in/{PATTERN}", spans / "out", spans / "store")
    execute(*arguments, window=2)
    assert len(opened) == 16
    shutil.rmtree(spans / "out")
    execute(*arguments, window=2, calibration_share=0.5, near_identical=0.0)
    assert len(opened) == 16
    shutil.rmtree(spans / "out")
    execute(*arguments, window=2, code_version="2")
    assert len(opened) == 32


def test_copies_are_quarantined_and_do_not_count_as_broken(tmp_path, execute, save):
    for index in range(10):
        save(tmp_path / f"in/{index}.png", seed=index)
        Image.open(tmp_path / f"in/{index}.png").save(tmp_path / f"in/copy of {index}.bmp")
    examples = execute(tmp_path / "in", tmp_path / "out", max_quarantined_fraction=0.0)
    assert counts(examples) == (20, 10, 10, 0)
    # Of equals the first by name stays.
    assert [entry["path"] for entry in quarantine(examples)] == [
        f"copy of {index}.bmp" for index in range(10)
    ]
    assert quarantine(examples)[3]["stage"] == "duplicate"
    assert quarantine(examples)[3]["reason"] == "the same pixels as 3.png"
    assert counts(execute(tmp_path / "in", tmp_path / "all", duplicates="keep")) == (20, 20, 0, 0)


def test_tiles_of_an_image_share_its_split(tmp_path, execute, save):
    for index in range(12):
        save(tmp_path / f"in/{index}.png", seed=index, size=(24, 40))
    reading = Reading(tile_size=16, tile_overlap=0.0)
    examples = execute(tmp_path / "in", tmp_path / "out", reading=reading, calibration_share=0.4)
    assert counts(examples) == (12, 12, 0, 0)
    splits = {split: records(examples, split) for split in ("train", "calibration")}
    sources_of = {split: {name.rpartition("#")[0] for name in found} for split, found in splits.items()}
    assert sources_of["train"] | sources_of["calibration"] == {f"{index}.png" for index in range(12)}
    assert not sources_of["train"] & sources_of["calibration"]
    assert sum(map(len, splits.values())) == 12 * 2 * 3
    assert {(record.height, record.width) for record in splits["train"].values()} == {(16, 16)}


def test_groups_by_name_share_a_split(tmp_path, execute, save):
    for part in range(10):
        for view in range(3):
            save(tmp_path / f"in/part{part}_view{view}.png", seed=10 * part + view)
    examples = execute(
        tmp_path / "in", tmp_path / "out", group_pattern="^(part[0-9]+)_", calibration_share=0.5
    )
    found = {}
    for entry in read_index(examples.uri):
        found.setdefault(entry.group, set()).add(entry.split)
    assert len(found) == 10 and all(len(splits) == 1 for splits in found.values())
    assert set.union(*found.values()) == {"train", "calibration"}


def test_the_same_names_in_two_spans_stay_apart(tmp_path, execute, save):
    for span in (1, 2):
        for kind, seed in (("good", 0), ("cut", 50)):
            for index in range(4):
                save(tmp_path / f"in/{span}/test/{kind}/{index}.png", seed=100 * span + seed + index)
        for index in range(4):
            save(tmp_path / f"in/{span}/train/good/{index}.png", seed=100 * span + 20 + index)
        mask = np.zeros((16, 16), np.uint8)
        mask[span] = 255
        (tmp_path / f"in/{span}/ground_truth/cut").mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / f"in/{span}/ground_truth/cut/0_mask.png")
    examples = execute(f"{tmp_path}/in/{{SPAN}}", tmp_path / "out", tmp_path / "store", window=2)
    found = records(examples, "test")
    assert len(found) == 16
    assert found["1/test/cut/0.png"].mask != found["2/test/cut/0.png"].mask
    assert found["1/test/cut/0.png"].span == 1


def test_everything_in_one_group_is_refused(tmp_path, execute, save):
    for index in range(4):
        save(tmp_path / f"in/a_{index}.png", seed=index)
    with pytest.raises(UserError, match="for the calibration split: the 4 training images are one group"):
        execute(tmp_path / "in", tmp_path / "out", group_pattern="^(a)_")
