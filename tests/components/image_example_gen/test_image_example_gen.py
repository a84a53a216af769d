"""ImageExampleGen alone in a pipeline of the local runner: what it writes, and when it runs again."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.types import artifact_utils

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.image_example_gen.component import ImageExampleGen
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.records.image_example import read_image_examples


def _save(path, seed=0, size=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)).save(path)


def _make_folder(root):
    for index in range(6):
        _save(root / f"train/good/{index}.png", seed=index)
    for index in range(2):
        _save(root / f"calibration/good/{index}.jpg", seed=10 + index)
        _save(root / f"test/good/{index}.png", seed=20 + index)
        _save(root / f"test/cut/{index}.png", seed=30 + index)
    _save(root / "ground_truth/cut/0_mask.png")
    (root / "train/good/empty.png").write_bytes(b"")
    (root / "train/good/text.png").write_bytes(b"text")


class Runs:
    """A pipeline of the one component, with the artifacts that its runs have published."""

    def __init__(self, home: pathlib.Path):
        self.home = home
        self.images = home / "images"
        _make_folder(self.images / "span-1")

    def run(self):
        """Runs, and returns (the newest artifact's folder, its custom properties, its splits)."""
        component = ImageExampleGen(
            f"{self.images}/span-{{SPAN}}",
            ImageExampleGenSettings(max_quarantined_fraction=0.2),
            store=str(self.home / "store"),
            code_version="1",
        )
        connection = metadata.sqlite_metadata_connection_config(str(self.home / "metadata.db"))
        local_dag_runner.LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="ingest",
                pipeline_root=str(self.home / "root"),
                components=[component],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        with metadata.Metadata(connection) as store:
            found = store.store.get_artifacts_by_type("Examples")
        newest = max(found, key=lambda artifact: artifact.id)
        properties = {name: value.int_value for name, value in newest.custom_properties.items()}
        splits = artifact_utils.decode_split_names(newest.properties["split_names"].string_value)
        return newest.uri, properties, splits


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("ingest"))


def test_first_run_accounts_for_every_file(runs):
    uri, properties, splits = runs.run()
    assert splits == ["train", "calibration", "test"]
    numbers = {
        name: properties[name] for name in ("images_found", "images_ingested", "images_quarantined", "span")
    }
    assert numbers == {"images_found": 14, "images_ingested": 12, "images_quarantined": 2, "span": 1}
    with open(f"{uri}/quarantine.jsonl") as file:
        assert [json.loads(line) for line in file] == [
            {"path": "span-1/train/good/empty.png", "stage": "read", "reason": "the file is empty"},
            {
                "path": "span-1/train/good/text.png",
                "stage": "format",
                "reason": "not a PNG, JPEG, BMP, GIF, TIFF or WebP image",
            },
        ]
    records = {split: list(read_image_examples(f"{uri}/Split-{split}")) for split in splits}
    assert {split: len(found) for split, found in records.items()} == {
        "train": 6,
        "calibration": 2,
        "test": 4,
    }
    assert {record.label for split in ("train", "calibration") for record in records[split]} == {0}
    cut = {record.filename: record for record in records["test"] if record.label == 1}
    mask = (runs.images / "span-1/ground_truth/cut/0_mask.png").read_bytes()
    assert {name: record.mask for name, record in cut.items()} == {
        "span-1/test/cut/0.png": mask,
        "span-1/test/cut/1.png": None,
    }
    assert {record.defect_type for record in cut.values()} == {"cut"}


def test_runs_again_for_a_new_image_mask_or_span_only(runs):
    first, _, _ = runs.run()
    assert runs.run()[0] == first

    _save(runs.images / "span-1/ground_truth/cut/1_mask.png", seed=1)
    second, _, _ = runs.run()
    assert second != first
    assert all(record.mask for record in read_image_examples(f"{second}/Split-test") if record.label)

    _save(runs.images / "span-1/train/good/new.png", seed=99)
    third, properties, _ = runs.run()
    assert third not in (first, second)
    assert properties["images_ingested"] == 13

    shutil.copytree(runs.images / "span-1", runs.images / "span-2")
    shutil.rmtree(runs.images / "span-2/test")
    shutil.rmtree(runs.images / "span-2/ground_truth")
    fourth, properties, splits = runs.run()
    assert fourth not in (first, second, third)
    assert properties["span"] == 2
    assert splits == ["train", "calibration"]
    assert runs.run()[0] == fourth


def test_flat_folder_is_divided_by_content(tmp_path, execute):
    for index in range(20):
        _save(tmp_path / f"span-4/{index}.png", seed=index)
        shutil.copy(tmp_path / f"span-4/{index}.png", tmp_path / f"span-4/copy {index}.png")
    examples = execute(f"{tmp_path}/span-{{SPAN}}", tmp_path / "out", calibration_share=0.4)
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "calibration"]
    assert examples.get_int_custom_property("span") == 4
    names = {
        split: {
            record.filename.removeprefix("span-4/").removeprefix("copy ")
            for record in read_image_examples(f"{examples.uri}/Split-{split}")
        }
        for split in ("train", "calibration")
    }
    assert names["train"] | names["calibration"] == {f"{index}.png" for index in range(20)}
    assert not names["train"] & names["calibration"]


def test_too_many_broken_files(tmp_path, execute):
    _make_folder(tmp_path / "in")
    with pytest.raises(UserError) as caught:
        execute(tmp_path / "in", tmp_path / "out")
    assert "2 of 14 images in" in str(caught.value)
    assert "max_quarantined_fraction (0.1): train/good/empty.png (the file is empty)" in str(caught.value)


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "left to train on"), ("calibration", "the calibration images cannot be used")],
)
def test_a_split_of_broken_files(tmp_path, execute, split, message):
    _save(tmp_path / "in/train/good/0.png")
    _save(tmp_path / "in/calibration/good/0.png")
    (tmp_path / f"in/{split}/good/0.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=message):
        execute(tmp_path / "in", tmp_path / "out", max_quarantined_fraction=1)


def test_no_image_for_calibration(tmp_path, execute):
    _save(tmp_path / "in/0.png")
    with pytest.raises(
        UserError, match=r"no image of .* is left for the calibration split: the 1 training images"
    ):
        execute(tmp_path / "in", tmp_path / "out", calibration_share=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"calibration_share": 0},
        {"calibration_share": 1},
        {"max_quarantined_fraction": 1.1},
        {"max_pixels": 0},
    ],
)
def test_impossible_settings(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        ImageExampleGenSettings(**settings)
