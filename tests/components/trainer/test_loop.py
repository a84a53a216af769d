"""Whole runs: one without a stop, and the same one stopped in every way: the weights must be the same."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import TrainedRun, train
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)
# 4x4 stable to 32 images, 8x8 fading in to 80, 8x8 stable to 112.
STAGE_ENDS, TOTAL, STOP = [32, 80], 112, 64


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


def test_settings_and_data_that_do_not_fit_are_refused_before_training(source, tiny, tmp_path):
    with pytest.raises(SettingsError, match="initial_resolution must be at most the final resolution 8"):
        train(source, SPEC, tiny.settings({"initial_resolution": 16}), str(tmp_path), Stopped())
    with pytest.raises(UserError, match="has no level of 16 pixels; its levels are 4, 8"):
        settings = tiny.settings({"initial_resolution": 16})
        train(source, ImageSpec(16, 1), settings, str(tmp_path), Stopped())


def test_tensorboard_has_scalars_and_images(whole):
    scalars, images = {}, {}
    for path in sorted((whole[1] / "tensorboard").glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                kind = images if value.metadata.plugin_data.plugin_name == "images" else scalars
                kind.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
    losses = {"loss/discriminator", "loss/generator", "loss/encoder"}
    assert {"resolution", "alpha", "images_per_second"} | losses <= set(scalars)
    for name, points in scalars.items():
        assert [step for step, _ in points] == [stats["images_seen"] for stats in _stats(whole[1])]
        np.testing.assert_allclose(
            [value for _, value in points], [stats[name] for stats in _stats(whole[1])], rtol=1e-5
        )
    assert len(images) == 2
    for points in images.values():
        # Where a stage ends, and after every 64 images.
        assert sorted({step for step, _ in points}) == [*STAGE_ENDS[:1], 64, *STAGE_ENDS[1:], TOTAL]
        width, height, *encoded = points[-1][1]
        picture = tf.io.decode_png(encoded[0]).numpy()
        assert picture.shape[:2] == (int(height), int(width))
        assert picture.std() > 1


def test_sample_pictures_are_written(whole):
    names = sorted(path.name for path in (whole[1] / "samples").iterdir())
    steps = [*STAGE_ENDS[:1], 64, *STAGE_ENDS[1:], TOTAL]
    assert names == sorted(f"{n:09d}-{kind}.png" for n in steps for kind in ("samples", "reconstructions"))
    samples = tf.io.decode_png((whole[1] / "samples" / f"{TOTAL:09d}-samples.png").read_bytes()).numpy()
    assert samples.shape == (4 * 64, 8 * 64, 1)
    strips = tf.io.decode_png((whole[1] / "samples" / f"{TOTAL:09d}-reconstructions.png").read_bytes())
    assert strips.shape == (3 * 64, 8 * 64, 1)
