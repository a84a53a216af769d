"""Event files of runs that were stopped, read as TensorBoard reads them."""

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from proganomaly.components.trainer.events import drop_events


@pytest.fixture
def written(tmp_path):
    """Writes scalars named "loss" in one file, each at the step of its value."""

    def write(*steps: int) -> None:
        writer = tf.summary.create_file_writer(str(tmp_path))
        with writer.as_default():
            for step in steps:
                tf.summary.scalar("loss", float(step), step=step)
        writer.close()

    return write


def _points(folder) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in accumulator.Tensors("loss")]


def test_only_the_unwanted_events_go(written, tmp_path):
    written(0, 8, 16)
    written(24, 32)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    drop_events(str(tmp_path), lambda event: event.step > 24)
    assert _points(tmp_path) == [(0, 0.0), (8, 8.0), (16, 16.0), (24, 24.0)]
    # A file that has nothing to lose is not touched; the other keeps its name and the version in its head.
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(kept) == set(files)
    first, second = sorted(files, key=lambda name: len(files[name]), reverse=True)
    assert kept[first] == files[first]
    assert files[second].startswith(kept[second])


def test_a_file_that_a_kill_cut_short_keeps_its_whole_events(written, tmp_path):
    written(8, 16, 24)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    drop_events(str(tmp_path), lambda event: event.step > 8)
    assert _points(tmp_path) == [(8, 8.0)]


def test_what_a_kill_left_half_written_is_cleared_away(written, tmp_path):
    written(8, 16)
    path = next(tmp_path.iterdir())
    (tmp_path / f".{path.name}.0123").write_bytes(path.read_bytes())
    drop_events(str(tmp_path), lambda event: False)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_without_events_is_no_mistake(tmp_path):
    drop_events(str(tmp_path / "missing"), lambda event: True)
    assert not (tmp_path / "missing").exists()
