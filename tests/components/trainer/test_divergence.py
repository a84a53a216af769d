"""A loss or weight that is not finite: back to the last good state with a lower rate, so often."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.divergence import Diverged, Rollbacks, check_state, finite
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)
# 4x4 stable to 32 images, 8x8 fading in to 80, 8x8 stable to 112; a checkpoint every 16 images.
TOTAL, LIMIT = 112, 3


class Steps:
    """Stands for the step: counts in a weight and a moment, and spoils a weight where it is told to.

    Attributes:
        log: For each step images seen before it, learning rate, the weight and the moment.
    """

    def __init__(self) -> None:
        self.log: list[tuple[int, float, float, float]] = []
        self.spoil_at = self.spoil_times = 0

    def make(self, state, settings, stage, strategy):
        weight = state.networks.generator.variables[0]
        moment = state.optimizers["generator"].variables[-1]

        def step(batch, images_seen):
            rate = float(state.optimizers["generator"].learning_rate)
            first = [float(np.array(variable).flat[0]) for variable in (weight, moment)]
            self.log.append((images_seen, rate, *first))
            weight.assign(weight + 1.0)
            moment.assign(moment + 1.0)
            if images_seen == self.spoil_at and self.spoil_times:
                self.spoil_times -= 1
                weight.assign(weight * np.nan)
            return {f"loss/{name}": tf.constant(1.0) for name in state.optimizers}

        return step


@pytest.fixture
def steps(monkeypatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(loop, "make_step", steps.make)
    monkeypatch.setattr(loop.RunSummaries, "snapshot", lambda *_: None)
    return steps


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(20)))


@pytest.fixture
def run(tiny, source, tmp_path):
    """Runs in one folder with changed settings; returns the reported lines."""

    def run_with(checkpoints=None, **changes) -> list[str]:
        lines: list[str] = []
        checkpoints = {"images": 16, "seconds": 1e6, "rollbacks": LIMIT, **(checkpoints or {})}
        changes = {"logging": {"verbosity": "WARNING"}, **changes}
        train(source, SPEC, tiny.settings(checkpoints=checkpoints, **changes), str(tmp_path), lines.append)
        return lines

    return run_with


@pytest.mark.option("checkpoints.rollback_factor")
def test_after_one_nan_the_run_goes_back_and_finishes_with_a_lower_rate(steps, run, tmp_path):
    steps.spoil_at, steps.spoil_times = 48, 1
    (line,) = run()
    assert line == (
        f"warning: training diverged: {line.split()[3]} is not finite after 64 images; rollback 1 of 3, "
        "learning rate times 0.5"
    )
    # Found at the checkpoint of 64 images; the last good one has 48.
    assert [entry[0] for entry in steps.log] == [*range(0, 64, 8), *range(48, TOTAL, 8)]
    np.testing.assert_allclose([entry[1] for entry in steps.log], [0.001] * 8 + [0.0005] * 8)
    # The weight counts the steps: those after the checkpoint left no trace.
    counted = np.array([entry[2] for entry in steps.log]) - steps.log[0][2]
    np.testing.assert_allclose(counted, [*range(7), np.nan, *range(6, 14)], atol=1e-5)
    stored = json.loads((tmp_path / "checkpoints" / "rollbacks.json").read_text())
    assert stored == {"rollbacks": 1, "rate_factor": 0.5}


@pytest.mark.option("checkpoints.rollbacks")
def test_a_run_that_always_diverges_stops_and_keeps_its_checkpoint(steps, run, tiny, tmp_path):
    steps.spoil_at, steps.spoil_times = 48, 1000
    with pytest.raises(
        UserError, match=r"^training diverged: \S+ is not finite after 64 images, with 3 of 3 rollb"
    ):
        run()
    rates = [entry[1] for entry in steps.log if entry[0] == 48]
    np.testing.assert_allclose(rates, [0.001, 0.0005, 0.00025, 0.000125])
    settings = tiny.settings()
    state = create_state(settings, SPEC)
    checkpoint = RunCheckpoint(state, f"{tmp_path}/checkpoints", settings, SPEC, Reporter(print, "INFO"))
    assert checkpoint.restore() == 48
    check_state(state, 48)
    # A restart goes on counting, with the rate that it had.
    steps.log.clear()
    with pytest.raises(UserError, match="with 3 of 3 rollbacks done"):
        run()
    assert [entry[0] for entry in steps.log] == [48, 56]
    np.testing.assert_allclose(steps.log[0][1], 0.000125)
    steps.spoil_times = 1
    assert run({"rollbacks": 4, "rollback_factor": 0.1})[0].endswith(
        "rollback 4 of 4, learning rate times 0.0125"
    )


@pytest.mark.parametrize("changes", [{}, {"save": False}])
def test_without_a_checkpoint_the_run_begins_anew_from_its_seed(steps, run, tmp_path, changes):
    steps.spoil_at, steps.spoil_times = (88 if changes else 0), 1
    assert len(run(changes)) == 1
    first, *later = (entry for entry in steps.log if entry[0] == 0)
    assert len(later) == 1 and later[0] == (first[0], pytest.approx(first[1] / 2), *first[2:])
    assert steps.log[-1][0] == TOTAL - 8
    assert (tmp_path / "checkpoints").exists() is not bool(changes)


@pytest.mark.option("optimizer.learning_rates")
def test_rates_by_resolution_hold_after_a_restart_too(steps, run):
    rates = {"learning_rate": 0.25, "learning_rates": {8: 0.5}}
    steps.spoil_at, steps.spoil_times = 80, 1
    with pytest.raises(UserError, match="with 0 of 0 rollbacks done"):
        run({"rollbacks": 0}, optimizer=rates)
    assert [entry[1] for entry in steps.log] == [0.25] * 4 + [0.5] * 8
    steps.log.clear()
    assert run({"rollbacks": 0}, optimizer=rates) == []
    assert [entry[:2] for entry in steps.log] == [(80, 0.5), (88, 0.5), (96, 0.5), (104, 0.5)]


@pytest.mark.option("optimizer.reset_at_growth")
@pytest.mark.parametrize(("reset", "moments"), [(True, [*range(4), *range(10)]), (False, [*range(14)])])
def test_growth_resets_the_optimizers_or_not(steps, run, reset, moments):
    run(optimizer={"reset_at_growth": reset})
    assert [entry[3] for entry in steps.log] == moments


@pytest.mark.option("logging.verbosity")
def test_lines_are_filtered_by_their_severity(steps, run):
    said = {level: run(logging={"verbosity": level}) for level in ("DEBUG", "INFO", "WARNING")}
    assert said["WARNING"] == []
    # The run was whole after the first.
    assert said["INFO"] == [f"going on from the checkpoint at {TOTAL} images"]
    for part in (
        "8x8 fading in, 32 to 80 images: batches of 8, learning rate 0.001",
        "first step of the stage",
    ):
        assert any(line.startswith(part) for line in said["DEBUG"])
    assert sum("images/s" in line for line in said["DEBUG"]) == TOTAL // 16
    assert sum(line.startswith("checkpoint ") for line in said["DEBUG"]) == 7


def test_a_loss_must_be_finite_a_gradients_norm_need_not_be():
    values = {"loss/generator": tf.constant(2.0), "gradient_norm/generator": tf.constant(np.inf)}
    assert finite(values, 8) == {"loss/generator": 2.0, "gradient_norm/generator": np.inf}
    with pytest.raises(Diverged, match=r"^loss/generator is nan after 1,008 images$"):
        finite({"loss/generator": tf.constant(np.nan)}, 1008)


@pytest.mark.parametrize("part", ["networks", "averages", "optimizers"])
def test_every_variable_is_looked_at(tiny, part):
    state = create_state(tiny.settings(), SPEC)
    check_state(state, 8)
    variables = {
        "networks": state.networks.variables(),
        "averages": state.averages.variables(),
        "optimizers": state.optimizers["encoder"].variables,
    }[part]
    spoiled = [variable for variable in variables if keras.backend.is_float_dtype(variable.dtype)][-1]
    spoiled.assign(np.full(spoiled.shape, np.inf))
    with pytest.raises(Diverged, match=rf"^{spoiled.path} is not finite after 8 images$"):
        check_state(state, 8)


def test_a_damaged_count_is_named(tiny, tmp_path):
    (tmp_path / "rollbacks.json").write_text("{")
    with pytest.raises(UserError, match=r"rollbacks\.json cannot be read; restore it, or delete its folder$"):
        Rollbacks(str(tmp_path), tiny.settings().checkpoints)
