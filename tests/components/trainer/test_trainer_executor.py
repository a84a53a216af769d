"""ProgressiveTrainer from artifact to artifact, once."""

import json

import pytest
import tensorflow as tf
from tfx.types import channel, standard_artifacts

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.settings import ScoringSettings
from proganomaly.components.records.pyramid_folder import PyramidInfo, write_pyramid_info
from proganomaly.components.settings import from_json, to_json
from proganomaly.components.trainer import component, executor
from proganomaly.components.trainer.fit import split_source
from proganomaly.components.trainer.settings import TrainerSettings

SPEC = ImageSpec(8, 1)


def _artifact(artifact_type, folder):
    one = artifact_type()
    one.uri = str(folder)
    return one


@pytest.fixture(scope="module")
def settings(tiny) -> TrainerSettings:
    return tiny.settings(
        {"initial_resolution": 8, "final_images": 16},
        scoring=ScoringSettings(coreset_size=32, members=("map_top",), components=("map_top", "latent_norm")),
    )


@pytest.fixture(scope="module")
def done(tiny, settings, tmp_path_factory):
    """The folder of a pyramid, a run and a model that one execution made."""
    folder = tmp_path_factory.mktemp("trainer")
    for split, count in (("train", 12), ("calibration", 6)):
        tiny.folders(folder / "pyramid" / f"Split-{split}", tiny.make_images(count))
    write_pyramid_info(str(folder / "pyramid"), PyramidInfo(SPEC, {"train": 12, "calibration": 6}))
    (folder / "graph" / "metadata").mkdir(parents=True)
    (folder / "graph" / "metadata" / "schema.pbtxt").write_text("feature {}")
    executor.Executor().Do(
        {
            "pyramid": [_artifact(standard_artifacts.Examples, folder / "pyramid")],
            "transform_graph": [_artifact(standard_artifacts.TransformGraph, folder / "graph")],
        },
        {
            "model": [_artifact(standard_artifacts.Model, folder / "model")],
            "model_run": [_artifact(standard_artifacts.ModelRun, folder / "model_run")],
        },
        {
            "settings": to_json(settings),
            "run_root": str(folder / "runs"),
            "provenance": json.dumps({"fingerprint": "abc"}),
            "code_version": "1",
        },
    )
    return folder


def test_the_model_is_where_tfx_looks_for_it_with_all_that_belongs_to_it(done):
    model = done / "model" / "Format-Serving"
    assert set(tf.saved_model.load(str(model)).signatures) >= {"serving_default", "explain", "examples"}
    extra = model / "assets.extra"
    assert (extra / "transform_graph" / "metadata" / "schema.pbtxt").read_text() == "feature {}"
    assert json.loads((extra / "provenance.json").read_text())["fingerprint"] == "abc"


def test_the_model_carries_what_another_run_can_begin_with(done, settings):
    """The weights and averages of the run's last checkpoint, bit for bit, and no optimizer."""
    (run,) = (done / "runs").iterdir()
    readers = [
        tf.train.load_checkpoint(str(path))
        for path in (
            run / "checkpoints" / "ckpt-16",
            done / "model" / "Format-Serving" / "assets.extra" / "training" / "weights",
        )
    ]
    variables = [
        set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"} for reader in readers
    ]
    assert {name.partition("/")[0] for name in variables[1]} == {"networks", "averages"}
    assert variables[1] == {name for name in variables[0] if "_optimizer/" not in name}
    for name in variables[1]:
        assert (readers[0].get_tensor(name) == readers[1].get_tensor(name)).all()


def test_the_run_outlives_the_attempt_and_is_in_the_artifact(done):
    (run,) = (done / "runs").iterdir()
    for folder in (run, done / "model_run"):
        assert (folder / "checkpoints" / "ckpt-16.index").exists()
        assert (folder / "stats.jsonl").read_text().count("\n") == 1
        assert list((folder / "tensorboard").iterdir())
        assert (folder / "samples" / "anomaly-maps.png").stat().st_size > 100


def test_equal_attempts_share_a_folder_and_others_do_not(done, settings):
    reference = split_source(str(done / "pyramid"), "train")

    def folder(**changes):
        properties = {"run_root": str(done / "runs"), "code_version": "1", **changes}
        return executor._run_folder(properties, reference, SPEC, settings, "elsewhere")

    (run,) = (done / "runs").iterdir()
    assert folder() == str(run)
    assert folder(run_root="") == "elsewhere"
    assert folder(code_version="2") != str(run)


def test_the_component_carries_its_settings_as_one_text(settings):
    built = component.ProgressiveTrainer(
        pyramid=channel.Channel(type=standard_artifacts.Examples),
        transform_graph=channel.Channel(type=standard_artifacts.TransformGraph),
        settings=settings,
        run_root="runs",
        provenance={"b": "2", "a": "1"},
        code_version="7",
    )
    assert from_json(TrainerSettings, built.exec_properties["settings"]) == settings
    assert built.exec_properties["provenance"] == '{"a": "1", "b": "2"}'
    assert (built.exec_properties["run_root"], built.exec_properties["code_version"]) == ("runs", "7")
    assert built.outputs["model"].type is standard_artifacts.Model
    assert built.outputs["model_run"].type is standard_artifacts.ModelRun
