"""The detection benchmark on tiny stand-ins: what is measured, kept, gone on with and written."""

import csv
import dataclasses
import gzip
import importlib
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.model.calibration import calibrate
from proganomaly.components.model.scorer import fuse

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Imports modules of the benchmark by name, which only run with its folder on the path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture(scope="module")
def fashion(tmp_path_factory) -> pathlib.Path:
    """A stand-in of Fashion-MNIST: noise around a brightness that tells the class, no image twice."""
    folder, random = tmp_path_factory.mktemp("fashion"), np.random.default_rng(0)
    for split, each in (("train", 40), ("t10k", 8)):
        labels = np.tile(np.arange(10, dtype=np.uint8), each)
        brightness = 20 * labels[:, None, None]
        images = (brightness + random.integers(0, 20, (len(labels), 28, 28))).astype(np.uint8)
        for name, kind, array in (("images", "idx3", images), ("labels", "idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            with gzip.open(folder / f"{split}-{name}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())
    return folder


def run(module, monkeypatch, *words: str) -> int:
    bench = module("bench_detect")
    monkeypatch.setattr(sys, "argv", ["bench_detect.py", *map(str, words)])
    return bench.main()


def test_a_task_is_measured_in_one_process_and_never_again(module, monkeypatch, fashion, tmp_path, capsys):
    results, cache = tmp_path / "made" / "detection.csv", tmp_path / "cache"
    words = ["--quick", "--suite", "fashion", "--classes", "5", "--seeds", "2", "--fashion-mnist", fashion]
    words += ["--results", results, "--cache", cache]
    assert run(module, monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(results.open()))
    assert list(rows[0]) == [
        *("dataset", "normal_class", "seed", "contamination", "method", "role", "metric", "value"),
        *("train_cpu_s", "score_ms", "settings", "commit"),
    ]
    aurocs = {row["method"]: row for row in rows if row["metric"] == "image_auroc"}
    fusions = [method for method in aurocs if method.startswith("fused with")]
    assert fusions and {aurocs[method]["role"] for method in ("map_top", *fusions)} == {"ablation"}
    roles = {
        "fused": "ours",
        "random weights": "control",
        "kNN-5": "baseline",
        "Isolation Forest": "baseline",
    }
    for method, role in roles.items():
        row = aurocs[method]
        place = (row["dataset"], row["normal_class"], row["seed"], row["contamination"], row["role"])
        assert place == ("fashion-mnist", "5", "2", "0", role)
        assert 0 <= float(row["value"]) <= 1 and float(row["score_ms"]) > 0 and row["commit"]
    assert float(aurocs["fused"]["train_cpu_s"]) > 0
    assert re.fullmatch(r"fashion-[0-9a-f]{8}", aurocs["fused"]["settings"])
    assert aurocs["kNN-5"]["settings"] == "8px"
    assert f"fused {float(aurocs['fused']['value']):.3f}" in printed
    assert not list(cache.glob("*/networks-*/run")), "checkpoints of a finished run are left"

    # What is kept for other fusions gives the product's own score again.
    (kept,) = cache.glob("*/scores-*.npz")
    with np.load(kept) as arrays:
        tested, held_out = (
            {path.rpartition("/")[2]: arrays[path] for path in arrays if path.startswith(half)}
            for half in ("test", "calibration")
        )
        members = module("detect_settings").read_tasks(["fashion"], quick=True)[0].trainer.scoring.members
        fused = fuse({name: calibrate(held_out[name]) for name in members}, tested)
        np.testing.assert_allclose(fused, arrays["score"], rtol=1e-4, atol=1e-4)

    before = results.read_text()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert run(module, monkeypatch, *words) == 0
    assert "0 of 1 tasks to do" in capsys.readouterr().out
    assert results.read_text() == before


def test_networks_that_are_there_are_not_trained_again(module, monkeypatch, fashion, tmp_path):
    task = module("detect_settings").read_tasks(["fashion"], ["5"], [1], quick=True)[0]
    data, train = module("detect_data").load(task, str(fashion)), module("detect_train")
    networks, seconds = train.trained(task, data, tmp_path)
    monkeypatch.setattr(train, "train", lambda *_: pytest.fail("trained again"))
    again, same_seconds = train.trained(task, data, tmp_path)
    assert seconds == same_seconds > 0
    for one, other in zip(networks.variables(), again.variables(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_time_of_interrupted_training_counts(module, tmp_path):
    clock = module("detect_train")._CpuClock
    path = tmp_path / "seconds"
    path.write_text("100")
    clock(path).note("a line")
    assert 100 <= float(path.read_text()) < 101


def test_a_task_that_fails_is_told_and_the_others_go_on(module, monkeypatch, fashion, tmp_path, capsys):
    real_run = subprocess.run

    def run_process(command, **options):
        if "detect_run.py" not in str(command):
            return real_run(command, **options)
        options["stdout"].write("ValueError: it broke\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run_process)
    words = ["--quick", "--suite", "fashion", "longer", "--fashion-mnist", fashion]
    assert run(module, monkeypatch, *words, "--cache", tmp_path) == 1
    printed = capsys.readouterr().out
    assert printed.count("ValueError: it broke") == 2
    assert not (tmp_path / "quick.csv").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--fashion-mnist", "nowhere"], "apt-get install dataset-fashion-mnist"),
        (["--suite", "fashoin"], "suite must be one of fashion,"),
        (["--classes", "11"], "has the classes 11"),
        (["--tables", "--page", "no-page.md"], "no-page.md"),
    ],
)
def test_mistakes_are_told_in_one_line(module, monkeypatch, tmp_path, capsys, words, complaint):
    assert run(module, monkeypatch, *words, "--quick", "--cache", tmp_path) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1


def test_contaminated_splits_hold_their_share_of_other_classes(module, fashion):
    (task,) = module("detect_settings").read_tasks(["fashion"], ["5"], quick=True)
    load, changed = module("detect_data").load, dataclasses.replace
    task = changed(task, contamination=0.1)
    data, clean = load(task, str(fashion)), load(changed(task, contamination=0), str(fashion))
    for split in ("train", "calibration"):
        images, normal = getattr(data, split), getattr(clean, split)
        # Brightness tells the class: 100 to 119 is class 5.
        strange = np.count_nonzero(np.abs(images.mean(axis=(1, 2, 3)) - 110) > 10)
        assert strange == round(len(normal) / 9) and len(images) == len(normal) + strange
        assert len(np.unique(images, axis=0)) == len(images)
    assert len(clean.train) + len(clean.calibration) == 40
    np.testing.assert_array_equal(data.labels, np.abs(data.test.mean(axis=(1, 2, 3)) - 110) > 10)
    np.testing.assert_array_equal(data.train, load(task, str(fashion)).train)


def test_textures_have_masks_where_they_are_defective(module):
    read_tasks, load = module("detect_settings").read_tasks, module("detect_data").load
    tasks = [read_tasks(["texture"], ["brick"], [seed], quick=True)[0] for seed in (1, 2)]
    data, other = (load(task, "") for task in tasks)
    assert data.train.shape == (16, 8, 8, 1) and data.masks.shape == data.test.shape[:3]
    assert not data.masks[data.labels == 0].any() and data.masks[data.labels == 1].any()
    assert not np.array_equal(data.train, other.train), "every seed has images of its own"
    with pytest.raises(UserError, match=r"must be 0; received 0\.1"):
        load(dataclasses.replace(tasks[0], contamination=0.1), "")


def test_fusions_have_one_component_more_or_fewer(module):
    scores = module("detect_scores")
    random = np.random.default_rng(0)
    held_out, tested = (
        scores.Scored(
            {name: random.normal(size=50).astype(np.float32) for name in ("a", "b", "c")}, None, None
        )
        for _ in range(2)
    )
    fused = scores.fusions(("a", "b"), tested, held_out)
    assert set(fused) == {"fused without a", "fused without b", "fused with c"}
    # Of one component alone fusion keeps the order.
    alone = fused["fused without a"]
    np.testing.assert_array_equal(np.argsort(alone), np.argsort(tested.components["b"]))


def test_settings_of_the_file_are_differences(module, tmp_path):
    settings = module("detect_settings")
    path = tmp_path / "settings.yaml"
    text = """
    settings:
      plain: {resolution: 8, trainer: {ema_half_life: 7, schedule: {batch_sizes: {4: 16}}}}
    variants:
      other: {like: plain, trainer: {schedule: {batch_sizes: {8: 4}}}}
      scored: {like: plain, trainer: {scoring: {neighbours: 3}}}
    suites:
      one: [{dataset: texture, settings: [plain, other, scored], classes: [brick], seeds: [3]}]
      two: [{dataset: texture, settings: [plain], classes: [brick], seeds: [3], compare: true}]
    """
    path.write_text(text)
    plain, other, scored = settings.read_tasks(path=path)
    assert [task.role for task in (plain, other, scored)] == ["ours", "ablation", "ablation"]
    assert plain.compare and not other.compare, "a task of two suites is one, with what both ask for"
    assert other.trainer.ema_half_life == 7 and other.trainer.seed == 3
    assert other.trainer.schedule.batch_sizes == {8: 4}
    assert len({task.label for task in (plain, other, scored)}) == 3
    assert scored.networks_name == plain.networks_name != other.networks_name
    path.write_text(text.replace("neighbours", "neighbors"))
    with pytest.raises(UserError, match="neighbours"):
        settings.read_tasks(path=path)
    path.write_text(text.replace("resolution", "size"))
    with pytest.raises(SettingsError, match="received 'size'"):
        settings.read_tasks(path=path)


def test_the_settings_in_the_repository_are_valid(module):
    tasks = module("detect_settings").read_tasks()
    suites = {(task.dataset, task.normal_class, task.contamination) for task in tasks}
    assert len({task.normal_class for task in tasks if task.dataset == "fashion-mnist"}) == 10
    assert ("fashion-mnist", "8", 0.05) in suites and ("texture", "gravel", 0) in suites
    assert {task.trainer.warm_start for task in tasks} == {""}, "no weights from elsewhere"
