"""Whole runs: one without a stop, and the same one stopped in every way: the weights must be the same."""

import errno
import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError, Terminated, UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import TrainedRun, train
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)
# 4x4 stable to 32 images, 8x8 fading in to 80, 8x8 stable to 112.
STAGE_ENDS, TOTAL, STOP = [32, 80], 112, 64
NETWORKS = ("discriminator", "generator", "encoder")


class Stopped:
    """Reports, and asks the run to stop as Ctrl-C does once it has come to some number of images."""

    def __init__(self, images: int | None = None) -> None:
        self.lines: list[str] = []
        self._images = images

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self._images and f"{self._images} / " in line:
            os.kill(os.getpid(), signal.SIGINT)


def _weights(run: TrainedRun) -> list[np.ndarray]:
    """Everything that a run consists of: networks, averages, moments of the optimizers."""
    state = run.state
    optimizers = [variable for optimizer in state.optimizers.values() for variable in optimizer.variables]
    variables = [*state.networks.variables(), *state.averages.variables(), *optimizers]
    return [np.array(variable) for variable in variables]


def _stats(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(20), shards=2))


@pytest.fixture(scope="module")
def settings(tiny):
    # No checkpoint by the clock: where a run can be taken up is then known.
    return tiny.settings(checkpoints={"seconds": 1e6})


@pytest.fixture(scope="module")
def whole(source, settings, tmp_path_factory):
    """The run without a stop: (run, folder, reported lines)."""
    folder, report = tmp_path_factory.mktemp("whole"), Stopped()
    return train(source, SPEC, settings, str(folder), report), folder, report.lines


@pytest.fixture(scope="module")
def interrupted(source, settings, tmp_path_factory):
    """The folder of a run that was stopped by SIGINT while 8x8 was fading in."""
    folder, handler = tmp_path_factory.mktemp("interrupted"), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(source, SPEC, settings, str(folder), Stopped(STOP))
    assert signal.getsignal(signal.SIGINT) is handler
    return folder


@pytest.fixture
def copy(interrupted, tmp_path):
    return shutil.copytree(interrupted, tmp_path / "copy")


def test_a_whole_run_reports_and_counts(whole):
    run, folder, lines = whole
    assert run.images_seen == TOTAL
    assert [stats["images_seen"] for stats in _stats(folder)] == list(range(16, TOTAL + 1, 16))
    assert len(lines) == TOTAL // 16
    assert [stats["resolution"] for stats in _stats(folder)] == [4, 4, 8, 8, 8, 8, 8]
    np.testing.assert_allclose([stats["alpha"] for stats in _stats(folder)][2:5], [1 / 3, 2 / 3, 1])
    assert all("left" in line and "images/s" in line for line in lines)
    assert "fade-in 0.67" in lines[3] and "stable" in lines[0]


def test_a_run_learns(whole, settings):
    """All that is trained has moved, and the averages follow behind."""
    run = whole[0]
    begun = create_state(settings, SPEC)
    for now, average, first in zip(
        run.state.networks.variables(),
        run.state.averages.variables(),
        begun.networks.variables(),
        strict=True,
    ):
        assert np.isfinite(now).all() and np.isfinite(average).all()
        assert not np.array_equal(now, first), now.path
        assert not np.array_equal(now, average), now.path


def test_a_run_that_was_interrupted_ends_in_the_same_weights(source, settings, whole, copy):
    report = Stopped()
    resumed = train(source, SPEC, settings, str(copy), report)
    assert report.lines[0] == f"going on from the checkpoint at {STOP} images"
    for one, two in zip(_weights(whole[0]), _weights(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    keys = ("images_seen", "resolution", "alpha", "loss/discriminator", "loss/generator", "loss/encoder")
    assert [[line[key] for key in keys] for line in _stats(copy)] == [
        [line[key] for key in keys] for line in _stats(whole[1])
    ]


def test_a_run_that_diverges_goes_back_and_ends_as_if_it_had_the_lower_rate_from_there(
    source, tiny, whole, copy
):
    # A checkpoint knows the rate that it was trained with: the settings' must win.
    settings = tiny.settings(
        checkpoints={"seconds": 1e6, "rollback_factor": 1e-15}, optimizer={"learning_rate": 1e12}
    )
    report = Stopped()
    run = train(source, SPEC, settings, str(copy), report)
    (warning,) = (line for line in report.lines if line.startswith("warning: "))
    assert re.fullmatch(
        r"warning: training diverged: \S+ is .* after 80 images; rollback 1 of 3, .*", warning
    )
    for one, two in zip(_weights(whole[0]), _weights(run), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_finished_run_is_not_trained_again(source, settings, whole):
    run, folder, _ = whole
    report = Stopped()
    again = train(source, SPEC, settings, str(folder), report)
    assert report.lines == [f"going on from the checkpoint at {TOTAL} images"]
    assert again.images_seen == TOTAL
    for one, two in zip(_weights(run), _weights(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_stop_asked_for_while_the_last_pictures_are_written_is_not_lost(
    source, settings, tmp_path, monkeypatch
):
    def snapshot(self, stage, images_seen):
        if images_seen == TOTAL:
            os.kill(os.getpid(), signal.SIGINT)

    losses = dict.fromkeys(("discriminator", "generator", "encoder"), tf.constant(1.0))
    monkeypatch.setattr(loop, "make_step", lambda *_: lambda *_: losses)
    monkeypatch.setattr(loop.RunSummaries, "snapshot", snapshot)
    with pytest.raises(KeyboardInterrupt):
        train(source, SPEC, settings, str(tmp_path), Stopped())
    assert (tmp_path / "checkpoints" / f"ckpt-{TOTAL}.index").exists()


def test_a_stop_asked_for_during_the_first_step_comes_after_it(source, settings, tmp_path, monkeypatch):
    """The first step of a stage is traced, which takes a while."""

    def step(batch, images_seen):
        os.kill(os.getpid(), signal.SIGTERM)
        return {"loss/generator": tf.constant(1.0)}

    monkeypatch.setattr(loop, "make_step", lambda *_: step)
    with pytest.raises(Terminated):
        train(source, SPEC, settings, str(tmp_path), Stopped())
    assert {path.stem for path in (tmp_path / "checkpoints").glob("*.json")} == {"ckpt-8"}


def test_a_run_folder_that_cannot_be_written_to_is_named(source, settings, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^the run folder .*file/run cannot be written to: \S+"):
        train(source, SPEC, settings, f"{tmp_path}/file/run", Stopped())

    def tick(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    losses = {"loss/generator": tf.constant(1.0)}
    monkeypatch.setattr(loop, "make_step", lambda *_: lambda *_: losses)
    monkeypatch.setattr(loop.RunSummaries, "tick", tick)
    full = (
        rf"^the run folder {tmp_path}/full cannot be written to: .*No space left on device; its checkpoints"
    )
    with pytest.raises(UserError, match=full):
        train(source, SPEC, settings, f"{tmp_path}/full", Stopped())


def test_settings_and_data_that_do_not_fit_are_refused_before_training(source, tiny, tmp_path):
    with pytest.raises(SettingsError, match="initial_resolution must be at most the final resolution 8"):
        train(source, SPEC, tiny.settings({"initial_resolution": 16}), str(tmp_path), Stopped())
    with pytest.raises(UserError, match="has no level of 16 pixels; its levels are 4, 8"):
        settings = tiny.settings({"initial_resolution": 16})
        train(source, ImageSpec(16, 1), settings, str(tmp_path), Stopped())


def test_statistics_have_every_term_of_the_step(whole):
    terms = {
        *(f"{kind}/{name}" for kind in ("loss", "gradient_norm") for name in NETWORKS),
        *(f"discriminator/{name}" for name in ("real_score", "fake_score", "gradient_penalty", "drift")),
        "encoder/image_cycle",
    }
    own = {"images_seen", "resolution", "alpha", "learning_rate", "images_per_second"}
    assert [set(line) for line in _stats(whole[1])] == [own | terms] * (TOTAL // 16)


def test_pictures_come_before_the_checkpoint_of_the_same_step(whole):
    """Where a stage ends, and after every 64 images: else a run killed between the two would lack them."""
    steps = [*STAGE_ENDS[:1], 64, *STAGE_ENDS[1:], TOTAL]
    for step in steps:
        assert len(list((whole[1] / "samples").glob(f"{step:09d}-*.png"))) == 3
    assert len(list((whole[1] / "samples").iterdir())) == 3 * len(steps)
    picture = next((whole[1] / "samples").glob(f"{TOTAL:09d}-*.png"))
    checkpoint = whole[1] / "checkpoints" / f"ckpt-{TOTAL}.index"
    assert picture.stat().st_mtime_ns < checkpoint.stat().st_mtime_ns
