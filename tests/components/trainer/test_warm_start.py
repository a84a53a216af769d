"""A run may begin with the weights of another one: of a checkpoint, a run's folder or an exported model."""

import shutil

import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.fit import run_key
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.schedule import ema_decay
from proganomaly.components.trainer.step import create_state
from proganomaly.components.trainer.warm_start import load_weights, write_weights

SPEC = ImageSpec(8, 1)
KINDS = ("model", "run", "run/", "run/checkpoints", "run/checkpoints/ckpt-64")
EXPORTED = "model/assets.extra/training"


def _filled(settings, first: float):
    """A state whose every variable has a value of its own: first, first + 1, ..."""
    state = create_state(settings, SPEC)
    for number, variable in enumerate([*state.networks.variables(), *state.averages.variables()]):
        variable.assign(np.full(variable.shape, first + number, np.float32))
    return state


def _assert_filled(state, first: float) -> None:
    for number, variable in enumerate([*state.networks.variables(), *state.averages.variables()]):
        assert (np.array(variable) == first + number).all(), variable.path


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(20)))


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A run with checkpoints at 32 and 64 images, whose values begin at 0 and at 0.5, and its model."""
    folder, settings = tmp_path_factory.mktemp("saved"), tiny.settings()
    for images_seen, first in ((32, 0.0), (64, 0.5)):
        state, checkpoints = _filled(settings, first), f"{folder}/run/checkpoints"
        RunCheckpoint(state, checkpoints, settings, SPEC, Reporter(print, "INFO")).save(images_seen, 8)
    write_weights(f"{folder}/model", state, settings, SPEC, 64)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.fixture
def load(tiny):
    """Loads from a source into a new state: (state, reported lines)."""

    def load_from(source, **networks):
        lines: list[str] = []
        settings = tiny.settings({"initial_resolution": 8}, warm_start=str(source), networks=networks)
        state = create_state(settings, SPEC)
        load_weights(state, settings, SPEC, Reporter(lines.append, "INFO"))
        return state, lines

    return load_from


@pytest.mark.option("warm_start")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_averages_come_from_every_kind_of_source_and_optimizers_are_new(load, saved, kind):
    state, lines = load(f"{saved}/{kind}")
    _assert_filled(state, 0.5)
    assert all(int(optimizer.iterations) == 0 for optimizer in state.optimizers.values())
    assert len(lines) == 1 and lines[0].startswith("beginning with the weights of ")
    assert lines[0].endswith("trained on 64 images")


def test_an_older_checkpoint_can_be_named(load, saved):
    _assert_filled(load(f"{saved}/run/checkpoints/ckpt-32")[0], 0.0)


def test_of_a_run_with_a_damaged_checkpoint_the_one_before_counts(load, copy):
    (copy / "run/checkpoints/ckpt-64.index").write_bytes(b"")
    state, lines = load(copy / "run")
    _assert_filled(state, 0.0)
    assert len(lines) == 2 and lines[0].startswith("warning: ")


@pytest.mark.parametrize("kind", ["model", "run/checkpoints/ckpt-64"])
def test_a_damaged_source_is_named(load, copy, kind):
    path = copy / (f"{EXPORTED}/weights.index" if kind == "model" else f"{kind}.index")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=rf"^warm_start .*{kind} is damaged: .*\.index differs from its checksum$"
    ):
        load(copy / kind)


def test_what_is_no_source_is_named(load, tmp_path):
    with pytest.raises(
        UserError, match=r"^warm_start must be a checkpoint, a run's folder .* or .*; received '.*x'$"
    ):
        load(tmp_path / "x")


@pytest.mark.parametrize("kind", KINDS)
def test_other_networks_are_refused_by_their_first_difference(load, saved, kind):
    with pytest.raises(UserError, match=r"is of other networks: its latent_size is 8; this run's is 4$"):
        load(f"{saved}/{kind}", latent_size=4)


@pytest.fixture
def begun(monkeypatch, source, tmp_path):
    """What a run begins its first step with: (images seen, state); it goes one step further in one folder."""

    def begin(settings):
        seen = []

        def make_step(state, *_):
            def step(batch, images_seen):
                seen.append((images_seen, state))
                raise KeyboardInterrupt

            return step

        monkeypatch.setattr(loop, "make_step", make_step)
        with pytest.raises(KeyboardInterrupt):
            train(source, SPEC, settings, str(tmp_path / "new"), lambda line: None)
        return seen[0]

    return begin


@pytest.mark.option("warm_start")
def test_a_run_begins_at_any_resolution_and_goes_on_from_its_own_checkpoint(tiny, begun, saved, tmp_path):
    settings = tiny.settings({"initial_resolution": 8}, warm_start=f"{saved}/model")
    images_seen, state = begun(settings)
    assert images_seen == 0
    _assert_filled(state, 0.5)
    own = _filled(settings, 0.25)
    checkpoints = f"{tmp_path}/new/checkpoints"
    RunCheckpoint(own, checkpoints, settings, SPEC, Reporter(print, "INFO")).save(8, 8)
    images_seen, state = begun(settings)
    assert images_seen == 8
    _assert_filled(state, 0.25)


def test_the_averages_are_not_given_up_by_a_short_half_life(tiny, saved):
    settings = tiny.settings(ema_half_life=100)
    assert ema_decay(settings, 8, 0) == 0
    warm = tiny.settings(ema_half_life=100, warm_start=f"{saved}/model")
    assert ema_decay(warm, 8, 0) == ema_decay(warm, 8, 10_000) == pytest.approx(0.5**0.08)


def test_a_runs_key_follows_the_weights_not_their_place(tiny, source, saved, copy):
    def key(warm_start):
        return run_key(source, SPEC, tiny.settings(warm_start=str(warm_start)), "1")

    assert key(saved / "run") == key(copy / "run") == key(copy / "run/checkpoints/ckpt-64")
    others = [key(saved / "run/checkpoints/ckpt-32"), key(saved / "model"), key("")]
    assert len({key(saved / "run"), *others}) == 4
    with pytest.raises(UserError, match=r"^warm_start must be"):
        key(saved / "none")
