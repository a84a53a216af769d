"""What a run leaves to look at, with terms that no step computed."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.scorer import Explanation
from proganomaly.components.trainer import loop, schedule, summaries
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.step import create_state
from proganomaly.components.trainer.summaries import RunSummaries, layer_table

SPEC = ImageSpec(8, 1)
TERMS = {
    "loss/discriminator": 1.5,
    "loss/generator": -0.5,
    "loss/encoder": 0.25,
    "discriminator/gradient_penalty": 0.75,
    "gradient_norm/encoder": 2.0,
}
PICTURES = {
    "samples": "pictures/samples (fixed latents above, fresh below)",
    "interpolation": "pictures/interpolation (between the first two fixed latents)",
    "reconstructions": "pictures/reconstructions (original, reconstruction, residual)",
}


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(12)))


@pytest.fixture(scope="module")
def state(tiny):
    return create_state(tiny.settings(), SPEC)


@pytest.fixture
def begin(tiny, source, state, tmp_path):
    """Begins or takes up the summaries of a run in one folder: (summaries, stages)."""

    def start(images_seen=0, writes=True, **logging):
        settings = tiny.settings(logging=logging)
        stages = schedule.stages(settings.schedule, 8, source.images)
        return RunSummaries(str(tmp_path), state, source, settings, stages, images_seen, writes), stages

    return start


@pytest.fixture
def run(begin):
    """Goes through steps of 8 images with a tick every 16: (first, last, logging)."""

    def go(first, last, terms=TERMS, **changes):
        shown, stages = begin(first, **changes)
        for images_seen in range(first + 8, last + 1, 8):
            stage = next(stage for stage in stages if images_seen <= stage.end)
            if images_seen % 16 == 0:
                shown.tick(stage, images_seen, terms, 12.345)
            shown.snapshot(stage, images_seen)

    return go


def _points(folder) -> dict[str, list[tuple]]:
    """Returns steps and values of every tag, as TensorBoard reads them."""
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.tensor_proto) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def _events(folder) -> dict[str, list[int]]:
    return {tag: [step for step, _ in points] for tag, points in _points(folder).items()}


def _stats(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def _picture(folder, images_seen: int, name: str) -> np.ndarray:
    return tf.io.decode_png((folder / "samples" / f"{images_seen:09d}-{name}.png").read_bytes()).numpy()


def test_scalars_are_the_same_in_tensorboard_and_in_the_statistics(run, tmp_path):
    run(0, 112)
    stats = _stats(tmp_path)
    assert [line["images_seen"] for line in stats] == list(range(16, 113, 16))
    own = {"resolution", "alpha", "learning_rate", "images_per_second"}
    assert all(set(line) == {"images_seen"} | own | set(TERMS) for line in stats)
    assert [line["resolution"] for line in stats] == [4, 4, 8, 8, 8, 8, 8]
    np.testing.assert_allclose([line["alpha"] for line in stats], [1, 1, 1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose([line["learning_rate"] for line in stats], 0.001)
    points = _points(tmp_path)
    for tag in own | set(TERMS):
        expected = [(line["images_seen"], line[tag]) for line in stats]
        found = [(step, float(tf.make_ndarray(value))) for step, value in points[tag]]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_number_that_json_does_not_know_is_null_there(run, tmp_path):
    run(0, 16, TERMS | {"gradient_norm/generator": float("inf")})
    assert "Infinity" not in (tmp_path / "stats.jsonl").read_text()
    assert _stats(tmp_path)[0]["gradient_norm/generator"] is None
    assert float(tf.make_ndarray(_points(tmp_path)["gradient_norm/generator"][0][1])) == float("inf")


def test_a_run_that_was_killed_shows_nothing_twice(run, tmp_path):
    """The checkpoint is at 40, between two ticks; what came after it comes again, and once."""
    run(0, 96)
    run(40, 112, TERMS | {"loss/generator": 7.0})
    events = _events(tmp_path)
    for tag in ("loss/generator", "alpha", "gradient_norm/encoder"):
        assert events[tag] == list(range(16, 113, 16))
    for tag in PICTURES.values():
        assert events[tag] == [32, 64, 80, 112]
    assert events["networks/8x8"] == [0]
    assert [line["loss/generator"] for line in _stats(tmp_path)] == [-0.5, -0.5, 7, 7, 7, 7, 7]


def test_a_run_that_begins_anew_shows_nothing_of_the_one_before(run, tmp_path):
    run(0, 32)
    run(0, 16)
    events = _events(tmp_path)
    assert events["loss/encoder"] == [16]
    assert events["networks/4x4"] == [0]
    assert not set(PICTURES.values()) & set(events)
    assert [line["images_seen"] for line in _stats(tmp_path)] == [16]


@pytest.mark.option("logging.images_per_snapshot", "logging.samples")
def test_pictures_come_at_every_multiple_and_where_a_stage_ends(run, tmp_path):
    run(0, 112, images_per_snapshot=40, samples=3)
    steps = [32, 40, 80, 112]
    names = {f"{step:09d}-{name}.png" for step in steps for name in PICTURES}
    assert {path.name for path in (tmp_path / "samples").iterdir()} == names
    for name, rows in {"samples": 2, "interpolation": 1, "reconstructions": 3}.items():
        assert _picture(tmp_path, 32, name).shape == (rows * 66 - 2, 3 * 66 - 2, 1)
        assert _events(tmp_path)[PICTURES[name]] == steps


def test_the_fixed_row_stays_and_the_fresh_one_changes(run, tmp_path):
    """The networks are the same at both times, so only the latents can make a difference."""
    run(0, 112, images_per_snapshot=96)
    before, after = (_picture(tmp_path, step, "samples") for step in (96, 112))
    np.testing.assert_array_equal(before[:64], after[:64])
    assert (before[66:] != after[66:]).any()
    way = _picture(tmp_path, 112, "interpolation")
    np.testing.assert_array_equal(way[:, :64], after[:64, :64])
    np.testing.assert_allclose(way[:, -64:].astype(int), after[:64, 66:130].astype(int), atol=1)


@pytest.mark.option("logging.image_seed")
def test_the_image_seed_alone_decides_the_fixed_row(run, tmp_path):
    run(0, 32, image_seed=1)
    one = _picture(tmp_path, 32, "samples")
    run(0, 32, image_seed=2)
    two = _picture(tmp_path, 32, "samples")
    assert (one[:64] != two[:64]).any()
    np.testing.assert_array_equal(one[66:], two[66:])


def test_originals_are_the_first_training_images(run, source, tmp_path):
    run(0, 32, samples=20)
    strips = _picture(tmp_path, 32, "reconstructions")
    originals = next(source.batches(4, 20))
    # There are 12 images, fewer than asked for.
    assert strips.shape == (3 * 66 - 2, 12 * 66 - 2, 1)
    for column, original in enumerate(originals):
        np.testing.assert_array_equal(strips[:64:16, column * 66 : column * 66 + 64 : 16], original)


@pytest.mark.option("logging.samples")
def test_one_sample_a_row_is_enough(run, tmp_path):
    run(0, 32, samples=1)
    assert [_picture(tmp_path, 32, name).shape[1] for name in PICTURES] == [64, 64, 64]


@pytest.mark.option("logging.images_per_snapshot")
def test_no_pictures_on_request(run, source, tiny, tmp_path):
    run(0, 112, images_per_snapshot=0)
    settings = tiny.settings(logging={"images_per_snapshot": 0}).logging
    summaries.write_anomaly_maps(str(tmp_path), FlatScorer(), source, 112, settings)
    assert not (tmp_path / "samples").exists()
    assert "loss/encoder" in _events(tmp_path)
    assert not set(PICTURES.values()) & set(_events(tmp_path))


@pytest.mark.option("logging.tensorboard")
def test_no_events_on_request(run, tmp_path):
    run(0, 32, tensorboard=False)
    assert not (tmp_path / "tensorboard").exists()
    assert len(_stats(tmp_path)) == 2
    assert len(list((tmp_path / "samples").iterdir())) == 3


def test_a_worker_that_is_not_to_write_writes_nothing(run, begin, tmp_path):
    run(0, 112, writes=False, metrics=("swd",))
    shown, stages = begin(32, writes=False, metrics=("swd",))
    assert shown.measure(stages[0], 32) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_generator_is_measured_once_where_a_resolution_ends(begin, tmp_path, monkeypatch):
    measured = []

    def measure_generator(networks, source, resolution, settings, seed):
        measured.append(resolution)
        return {"quality/swd": 12.3456, "quality/ms_ssim": 0.5}

    monkeypatch.setattr(summaries, "measure_generator", measure_generator)
    shown, stages = begin(metrics=("swd", "ms_ssim"))
    # The fade-in to 8 pixels ends at 80, the resolution at 112.
    lines = [shown.measure(stage, stage.end) for stage in stages]
    assert lines == [
        "generator at 4x4: swd 12.35, ms_ssim 0.5",
        "",
        "generator at 8x8: swd 12.35, ms_ssim 0.5",
    ]
    assert measured == [4, 8]
    events = _events(tmp_path)
    assert events["quality/swd"] == events["quality/ms_ssim"] == [32, 112]
    assert _stats(tmp_path)[0] == {"images_seen": 32, "quality/swd": 12.3456, "quality/ms_ssim": 0.5}
    # Killed while it measured 8x8: it goes on from there, and 4x4 is not measured again.
    (tmp_path / "stats.jsonl").write_text(json.dumps(_stats(tmp_path)[0]) + "\n")
    for images_seen, expected in ((32, [4, 8]), (112, [4, 8, 8])):
        shown, stages = begin(images_seen, metrics=("swd", "ms_ssim"))
        for stage in stages:
            if stage.end == images_seen:
                shown.measure(stage, images_seen)
        assert measured == expected


def test_without_measures_there_is_nothing_to_tell(begin):
    shown, stages = begin()
    assert shown.measure(stages[0], 32) == ""


def test_tables_of_layers_count_every_parameter(begin, state, tiny, tmp_path):
    """Independently: networks that are built for the smaller resolution have just those layers."""
    begin()
    for resolution in (4, 8):
        table = (tmp_path / f"networks-{resolution}.txt").read_text()
        assert table == layer_table(state.networks, resolution)
        built = build_networks(tiny.networks.for_resolution(8), ImageSpec(resolution, 1))
        total = sum(int(np.prod(variable.shape)) for variable in built.variables())
        assert table.splitlines()[-1] == f"all networks        {total:>12,} parameters"
        counts = re.findall(r"^  \S+ +([\d,]+)", table, re.MULTILINE)
        assert sum(int(count.replace(",", "")) for count in counts) == total


class FlatScorer:
    """Finds every pixel of every image half as anomalous as white is."""

    spec, pixel_threshold = SPEC, 1.0

    def explain(self, images):
        return Explanation({}, tf.fill(images.shape[:3], 1.5), tf.zeros(images.shape, tf.uint8))


def test_maps_of_a_run_that_is_scored_anew_replace_the_old_ones(source, tmp_path, tiny):
    settings = tiny.settings(logging={"samples": 4}).logging
    for _ in range(2):
        summaries.write_anomaly_maps(str(tmp_path), FlatScorer(), source, 112, settings)
    assert _events(tmp_path) == {"pictures/anomaly maps (original, reconstruction, map)": [112]}
    picture = tf.io.decode_png((tmp_path / "samples" / "anomaly-maps.png").read_bytes()).numpy()
    assert picture.shape == (3 * 66 - 2, 4 * 66 - 2, 1)
    assert set(np.unique(picture[132:, :64])) == {127}


@pytest.fixture
def train_idly(tiny, source, tmp_path, monkeypatch):
    """Goes through a run whose steps do nothing but return `terms(images_seen)`; returns the lines."""

    def go(terms, **logging):
        monkeypatch.setattr(loop, "make_step", lambda *_: lambda batch, images_seen: terms(images_seen))
        lines = []
        loop.train(source, SPEC, tiny.settings(logging=logging), str(tmp_path), lines.append)
        return lines

    return go


def test_a_term_that_is_not_computed_in_every_step_shows_its_latest_value(train_idly, tmp_path):
    def terms(images_seen):
        lazy = {"discriminator/r1": tf.constant(float(images_seen))} if images_seen % 48 == 0 else {}
        return {"loss/generator": tf.constant(float(images_seen))} | lazy

    train_idly(terms)
    assert [line["discriminator/r1"] for line in _stats(tmp_path)] == [0, 0, 0, 48, 48, 48, 96]
    assert [line["loss/generator"] for line in _stats(tmp_path)] == [8, 24, 40, 56, 72, 88, 104]


@pytest.mark.option("logging.metrics")
def test_a_run_measures_its_generator_behind_each_resolution(train_idly, tmp_path):
    lines = train_idly(lambda _: {}, metrics=("ms_ssim",), metric_images=8)
    assert sum(line.startswith("generator at ") for line in lines) == 2
    assert [line["images_seen"] for line in _stats(tmp_path) if "quality/ms_ssim" in line] == [32, 112]


@pytest.mark.option("logging.images_per_tick")
def test_without_ticks_there_are_no_lines_and_no_scalars(train_idly, tmp_path):
    assert train_idly(lambda _: {}, images_per_tick=0) == []
    assert not (tmp_path / "stats.jsonl").exists()
    assert set(_events(tmp_path)) == {*PICTURES.values(), "networks/4x4", "networks/8x8"}
