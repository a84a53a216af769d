"""What does not fit together is refused before any training; runs are named by what decides them."""

import dataclasses
import os
import signal
from types import SimpleNamespace

import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError, Terminated, UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.settings import ScoringSettings
from proganomaly.components.trainer import export, fit
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.fit import fit_model, run_key
from proganomaly.components.trainer.loop import TrainedRun
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> str:
    return tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(12))


@pytest.fixture
def refused(tiny, folder, tmp_path, monkeypatch):
    """Tries to fit; training itself must not be reached."""
    monkeypatch.setattr(fit, "train", lambda *_: pytest.fail("training began"))

    def fit_with(spec=SPEC, calibration=folder, settings=None) -> None:
        settings = settings or tiny.settings()
        sources = [PyramidSource(folder), PyramidSource(calibration)]
        fit_model(*sources, spec, settings, str(tmp_path / "run"), str(tmp_path / "model"), {}, print)

    return fit_with


def test_channels_must_agree(refused, tiny, tmp_path):
    with pytest.raises(UserError, match=r"^the train images in .* have 1 channels; the networks take 3$"):
        refused(spec=ImageSpec(8, 3))
    colour = tiny.folders(tmp_path / "colour", tiny.make_images(12, channels=3))
    with pytest.raises(UserError, match=r"^the calibration images in .*colour have 3 channels; .* take 1$"):
        refused(calibration=colour)


def test_the_final_level_must_be_there(refused, tiny, tmp_path):
    with pytest.raises(UserError, match=r"has no level of 16 pixels; its levels are 4, 8$"):
        refused(spec=ImageSpec(16, 1))
    small = tiny.folders(tmp_path / "small", tiny.make_images(12, resolution=4))
    with pytest.raises(UserError, match=r"small has no level of 8 pixels; its levels are 4$"):
        refused(calibration=small)


def test_growing_begins_at_a_level_that_is_there(refused, tiny, tmp_path):
    large = PyramidSource(tiny.folders(tmp_path / "large", tiny.make_images(12, resolution=16), smallest=8))
    with pytest.raises(
        UserError, match=r"^schedule.initial_resolution must be at least 8, .*large; received 4$"
    ):
        fit_model(large, large, ImageSpec(16, 1), tiny.settings(), "run", "model", {}, print)


def test_the_feature_extractor_must_be_there(refused, tiny):
    settings = tiny.settings(logging={"metrics": ("kid",), "feature_extractor": "nowhere"})
    with pytest.raises(UserError, match=r"^the feature extractor nowhere does not exist$"):
        refused(settings=settings)


def test_calibration_needs_images(refused, tiny, tmp_path):
    few = tiny.folders(tmp_path / "few", tiny.make_images(4))
    with pytest.raises(UserError, match=r"^calibration needs at least 5 .*; received 4: add"):
        refused(calibration=few)


def test_maps_cannot_be_finer_than_the_images(refused, tiny):
    settings = tiny.settings(scoring=ScoringSettings(map_resolutions=(8, 16)))
    with pytest.raises(SettingsError, match=r"^map_resolutions must be at most .* 8; received 16$"):
        refused(settings=settings)


@pytest.mark.parametrize("moment", ["fit", "export"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_asked_for_during_fit_and_export_leaves_no_half_model(
    tiny, folder, tmp_path, monkeypatch, moment, number
):
    """The networks are saved by then; what is begun is tidied away."""
    workers = SimpleNamespace(is_chief=True, wait=lambda: None)
    run = TrainedRun(create_state(tiny.settings(), SPEC), 8, 0.0, workers)
    monkeypatch.setattr(fit, "train", lambda *_: run)
    if moment == "fit":
        place, name = export.AnomalyScorer, "fit"
    else:
        # The model stands beside its place already.
        place, name = export, "write_weights"
        monkeypatch.setattr(export.AnomalyScorer, "fit", lambda *_: None)
        monkeypatch.setattr(export.AnomalyScorer, "calibrate", lambda *_: None)
        monkeypatch.setattr(export, "describe", lambda *_: {})
        monkeypatch.setattr(export, "ServingModel", lambda _: SimpleNamespace(signatures=dict))
        monkeypatch.setattr(export.tf.saved_model, "save", lambda _, beside, signatures: os.makedirs(beside))
    monkeypatch.setattr(place, name, lambda *_: os.kill(os.getpid(), number))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    source = PyramidSource(folder)
    with pytest.raises(Terminated if number == signal.SIGTERM else KeyboardInterrupt):
        fit_model(source, source, SPEC, tiny.settings(), f"{tmp_path}/run", f"{tmp_path}/model", {}, print)
    assert [path.relative_to(tmp_path).name for path in sorted(tmp_path.rglob("*"))] == ["model", "old"]


def test_a_model_folder_that_cannot_be_written_to_is_named(tiny, folder, tmp_path, monkeypatch):
    state = create_state(tiny.settings(), SPEC)
    workers = SimpleNamespace(is_chief=True, wait=lambda: None)
    monkeypatch.setattr(fit, "train", lambda *_: TrainedRun(state, 8, 0.0, workers))
    monkeypatch.setattr(export.AnomalyScorer, "fit", lambda *_: None)
    monkeypatch.setattr(export.AnomalyScorer, "calibrate", lambda *_: None)
    monkeypatch.setattr(export, "ServingModel", lambda _: tf.Module())
    monkeypatch.setattr(tf.Module, "signatures", lambda _: {}, raising=False)
    (tmp_path / "file").touch()
    source = PyramidSource(folder)
    with pytest.raises(
        UserError, match=r"^the model folder .*file/model cannot be written to: .*; the run's ch"
    ):
        fit_model(source, source, SPEC, tiny.settings(), str(tmp_path), f"{tmp_path}/file/model", {}, print)


def test_a_run_is_named_by_images_settings_and_code(tiny, folder, tmp_path):
    settings = tiny.settings()
    key = run_key(PyramidSource(folder), SPEC, settings, "1")
    assert run_key(PyramidSource(folder), SPEC, tiny.settings(), "1") == key
    # The same images in other files are the same images.
    same = tiny.folders(tmp_path / "same", tiny.make_images(12), shards=3)
    assert run_key(PyramidSource(same), SPEC, settings, "1") == key
    fewer = tiny.folders(tmp_path / "fewer", tiny.make_images(11))
    others = [
        run_key(PyramidSource(fewer), SPEC, settings, "1"),
        run_key(PyramidSource(folder), ImageSpec(8, 1, "pad"), settings, "1"),
        run_key(PyramidSource(folder), SPEC, dataclasses.replace(settings, seed=2), "1"),
        run_key(PyramidSource(folder), SPEC, settings, "2"),
    ]
    assert len({key, *others}) == 5
