"""The whole pipeline as a user runs it, on a tiny set of real textures."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def first(proganomaly: Command, tiny: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return proganomaly("run", "--data=brick", "--output=out", *tiny, cwd=folder)


def summary(folder: Path, output: str = "out") -> dict:
    return json.loads((folder / output / "summary.json").read_text())


def test_first_run_ends_with_a_pushed_model_and_a_summary(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stderr
    found = summary(folder)
    assert (found["found"], found["ingested"], found["quarantined"]) == (55, 54, 1)
    assert found["blessed"] is True
    assert found["reasons"]
    assert (folder / found["pushed_model"] / "saved_model.pb").is_file()
    assert (folder / found["report"]).read_text().startswith("<!DOCTYPE html>")
    assert any((folder / found["tensorboard"]).iterdir())
    baselines = found["baselines"]
    assert 0 <= baselines.pop("isolation_forest")["image_auroc"] <= 1
    assert set(baselines) == {"knn5", "pca64"}
    assert found["anomalies"] == "labelled"
    for measures in (found, found["control"], *baselines.values()):
        assert all(0 <= measures[name] <= 1 for name in ("image_auroc", "pixel_auroc", "aupro"))
    assert [component["name"] for component in found["components"]][-1] == "Pusher"
    quarantine = json.loads((folder / found["quarantine"]).read_text())
    assert quarantine["path"] == "train/good/zero bytes.png"


def test_first_run_shows_progress_and_no_noise(first: subprocess.CompletedProcess[str]) -> None:
    assert first.stderr == ""
    ticks = re.findall(r"16x16  fade-in 0\.\d\d .* images/s  D .* G .* E .* left", first.stdout)
    assert ticks
    assert not re.search(r"WARNING|INFO|Deprecat|Traceback", first.stdout)


def test_second_run_is_cached(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    before = summary(folder)
    again = proganomaly("run", "--data=brick", "--output=out", *tiny, cwd=folder)
    assert again.returncode == 0, again.stderr
    after = summary(folder)
    assert all(component["cached"] for component in after.pop("components"))
    before.pop("components")
    assert after == before


def test_deleted_model_is_pushed_again(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    shutil.rmtree(folder / "out/serving")
    again = proganomaly("run", "--data=brick", "--output=out", *tiny, cwd=folder)
    assert again.returncode == 0, again.stderr
    found = summary(folder)
    assert (folder / found["pushed_model"] / "saved_model.pb").is_file()
    assert [run["name"] for run in found["components"] if not run["cached"]] == ["Pusher"]


def test_refused_model_is_not_pushed(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    served = sorted(os.listdir(folder / "out/serving"))
    refused = proganomaly(
        "run", "--data=brick", "--output=out", *tiny, "--evaluator.min_image_auroc=1.0", cwd=folder
    )
    assert refused.returncode == 0, refused.stderr
    found = summary(folder)
    assert found["blessed"] is False
    assert found["pushed_model"] is None
    assert any("1.0000" in reason for reason in found["reasons"])
    assert sorted(os.listdir(folder / "out/serving")) == served


def test_score_writes_a_table_and_heatmaps(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    (folder / "new").mkdir()
    for index, name in enumerate(("scratch", "good")):
        source = next((folder / "brick/test" / name).iterdir())
        (folder / "new" / f"{index} {name}.png").write_bytes(source.read_bytes())
    (folder / "new/broken.png").write_bytes(b"no image")
    (folder / "new/dangling.png").symlink_to("nowhere.png")
    done = proganomaly("score", "new", "--model=out/serving", "--output=scores", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "broken.png: not a PNG, JPEG, BMP, GIF, TIFF or WebP image\n" in done.stdout
    assert "dangling.png: " in done.stdout
    with open(folder / "scores/scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["0 scratch.png", "1 good.png"]
    for row in rows:
        assert (row["is_anomaly"] == "True") == (float(row["score"]) > float(row["threshold"]))
        assert 0 < float(row["p_value"]) < 1
        with Image.open(folder / "scores/heatmaps" / f"{row['file']}.png") as picture:
            assert picture.width > 2 * picture.height


def test_train_from_the_pyramid_without_tfx(
    proganomaly: Command, tiny: list[str], folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    pyramid = next((folder / "out/pipeline/PyramidTransform/pyramid").iterdir())
    trainer = [option for option in tiny if option.startswith("--trainer")]
    done = proganomaly("train", str(pyramid), "--output=trained", "--resolution=8", *trainer, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "trained/model/saved_model.pb").is_file()
    assert list((folder / "trained/run").glob("*/samples/*.png"))
