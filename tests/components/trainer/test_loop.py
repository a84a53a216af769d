"""Whole runs: one without a stop, and the same one stopped in every way: the weights must be the same."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import TrainedRun, train
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)
# 4x4 stable to 32 images, 8x8 fading in to 80, 8x8 stable to 112.
STAGE_ENDS, TOTAL, STOP = [32, 80], 112, 64

# A run in a process of its own, which is to be killed: a checkpoint after every step.
CHILD = """
import sys
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.settings import TrainerSettings

records, folder, settings = sys.argv[1:]
train(
    PyramidSource(records),
    ImageSpec(8, 1),
    from_json(TrainerSettings, settings),
    folder,
    lambda line: print(line, flush=True),
)
"""


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


def test_the_newest_two_checkpoints_are_kept_and_name_the_images_seen(whole):
    names = {path.name for path in (whole[1] / "checkpoints").glob("*.index")}
    assert names == {f"ckpt-{STAGE_ENDS[-1]}.index", f"ckpt-{TOTAL}.index"}


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


def test_a_run_that_was_killed_ends_in_the_same_weights(source, tiny, whole, tmp_path):
    settings = tiny.settings(checkpoints={"seconds": 0})
    command = [sys.executable, "-c", CHILD, source.folder, str(tmp_path), to_json(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        for line in child.stdout:
            if "fade-in" in line:
                child.kill()
        assert child.wait() == -signal.SIGKILL
    report = Stopped()
    resumed = train(source, SPEC, settings, str(tmp_path), report)
    taken_up = int(report.lines[0].removeprefix("going on from the checkpoint at ").removesuffix(" images"))
    assert 32 < taken_up < 80
    assert resumed.images_seen == TOTAL
    for one, two in zip(_weights(whole[0]), _weights(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    seen = [line["images_seen"] for line in _stats(tmp_path)]
    assert seen == sorted(set(seen)) and seen[-1] == TOTAL


def test_a_finished_run_is_not_trained_again(source, settings, whole):
    run, folder, _ = whole
    report = Stopped()
    again = train(source, SPEC, settings, str(folder), report)
    assert report.lines == [f"going on from the checkpoint at {TOTAL} images"]
    assert again.images_seen == TOTAL
    for one, two in zip(_weights(run), _weights(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(source, tiny, copy, interrupted):
    # A checkpoint knows the rate that it was trained with: the settings' must win.
    settings = tiny.settings(checkpoints={"seconds": 1e6}, optimizer={"learning_rate": 1e12})
    with pytest.raises(UserError, match=r"^training diverged: \S+ is (nan|-?inf) after 80 images; low"):
        train(source, SPEC, settings, str(copy), Stopped())
    kept, original = (create_state(settings, SPEC) for _ in range(2))
    for state, folder in ((kept, copy), (original, interrupted)):
        assert RunCheckpoint(state, f"{folder}/checkpoints").restore() == STOP
    for one, two in zip(kept.networks.variables(), original.networks.variables(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_weights_that_are_not_finite_are_never_saved(source, settings, copy, monkeypatch):
    def make_broken_step(state, *_):
        def step(*_):
            state.networks.generator.variables[0].assign(state.networks.generator.variables[0] * np.nan)
            return {"discriminator": tf.constant(1.0), "generator": tf.constant(1.0)}

        return step

    monkeypatch.setattr(loop, "make_step", make_broken_step)
    with pytest.raises(UserError, match=r"^training diverged: the weight .* is not finite after 80 images"):
        train(source, SPEC, settings, str(copy), Stopped())
    assert {path.name for path in (copy / "checkpoints").glob("*.index")} == {
        "ckpt-32.index",
        f"ckpt-{STOP}.index",
    }


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


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_named(source, settings, copy, damage):
    path = next((copy / "checkpoints").glob(f"ckpt-{STOP}.data-*"))
    content = path.read_bytes()
    flipped = bytes(byte ^ 255 for byte in content[500:600])
    path.write_bytes(
        {"truncated": content[:1000], "flipped": content[:500] + flipped + content[600:], "emptied": b""}[
            damage
        ]
    )
    with pytest.raises(UserError, match=rf"^the checkpoint .*ckpt-{STOP} cannot be restored: .+$"):
        train(source, SPEC, settings, str(copy), Stopped())


@pytest.mark.parametrize("content", ["", "garbage { !"])
def test_a_damaged_index_of_checkpoints_does_not_begin_the_run_anew(source, settings, copy, content):
    (copy / "checkpoints" / "checkpoint").write_text(content)
    with pytest.raises(UserError, match=r"checkpoints/checkpoint does not name a checkpoint; "):
        train(source, SPEC, settings, str(copy), Stopped())


def test_a_missing_checkpoint_is_named(source, settings, copy):
    for path in (copy / "checkpoints").glob("ckpt-*"):
        path.unlink()
    with pytest.raises(UserError, match=rf"^the checkpoint .*ckpt-{STOP} cannot be restored: .+$"):
        train(source, SPEC, settings, str(copy), Stopped())


@pytest.mark.parametrize("changes", [{"fmap_max": 4}, {"latent_size": 4}])
def test_a_checkpoint_of_other_networks_is_named(source, tiny, copy, changes):
    settings = tiny.settings(networks=dataclasses.replace(tiny.networks, **changes))
    with pytest.raises(UserError, match=rf"^the checkpoint .*ckpt-{STOP} cannot be restored: .+$"):
        train(source, SPEC, settings, str(copy), Stopped())


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
