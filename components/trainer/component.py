"""ProgressiveTrainer: a pyramid of normal images in, a model that scores images out."""

import json

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.settings import to_json
from proganomaly.components.trainer import executor
from proganomaly.components.trainer.settings import TrainerSettings


class ProgressiveTrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of ProgressiveTrainer."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "run_root": component_spec.ExecutionParameter(type=str),
        "provenance": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "pyramid": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }


class ProgressiveTrainer(base_component.BaseComponent):
    """Grows generator, discriminator and encoder from 4x4 to the final resolution, and exports a scorer.

    Component `outputs` contains:
     - `model`: Channel of type `standard_artifacts.Model`: a SavedModel with the signatures of
       `model.serving.ServingModel`; the transform graph and the provenance are in its `assets.extra`.
     - `model_run`: Channel of type `standard_artifacts.ModelRun`: checkpoints, TensorBoard logs, sample
       pictures and `stats.jsonl`.
    """

    SPEC_CLASS = ProgressiveTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        pyramid: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        settings: TrainerSettings,
        run_root: str = "",
        provenance: dict[str, str] | None = None,
        code_version: str = "",
    ) -> None:
        """Builds the component.

        Args:
            pyramid: PyramidTransform's pyramid, with splits `train` and `calibration`.
            transform_graph: PyramidTransform's graph; it travels with the model.
            settings: How to train and score.
            run_root: Folder for the checkpoints of unfinished runs; an interrupted run goes on from there.
                "" keeps them in the `model_run` artifact, where a second attempt does not find them.
            provenance: What to record with the model: fingerprint of the run, served baseline.
            code_version: Part of the cache's key: another version runs anew.
        """
        spec = ProgressiveTrainerSpec(
            settings=to_json(settings),
            run_root=run_root,
            provenance=json.dumps(provenance or {}, sort_keys=True),
            code_version=code_version,
            pyramid=pyramid,
            transform_graph=transform_graph,
            model=channel.Channel(type=standard_artifacts.Model),
            model_run=channel.Channel(type=standard_artifacts.ModelRun),
        )
        super().__init__(spec=spec)
