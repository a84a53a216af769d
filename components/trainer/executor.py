"""Runs the trainer inside the pipeline: artifacts to folders, and back."""

import json
import os
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.pyramid_folder import read_pyramid_info
from proganomaly.components.settings import from_json
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.distribution import create_strategy
from proganomaly.components.trainer.fit import fit_model, run_key, split_source
from proganomaly.components.trainer.settings import TrainerSettings


class Executor(base_executor.BaseExecutor):
    """Executor of ProgressiveTrainer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains on the pyramid and exports the model.

        Args:
            input_dict: `pyramid` and `transform_graph`, both of PyramidTransform.
            output_dict: `model` and `model_run`.
            exec_properties: `settings` (JSON of TrainerSettings), `run_root`, `provenance` (JSON object of
                texts) and `code_version`.
        """
        pyramid = artifact_utils.get_single_uri(input_dict["pyramid"])
        transform_graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
        model = artifact_utils.get_single_uri(output_dict["model"])
        model_run = artifact_utils.get_single_uri(output_dict["model_run"])
        settings = from_json(TrainerSettings, exec_properties["settings"])
        # Threads and workers can only be chosen before TensorFlow does anything else.
        create_strategy(settings.execution)
        spec = read_pyramid_info(pyramid).spec
        reference = split_source(pyramid, "train")
        run_folder = _run_folder(exec_properties, reference, spec, settings, model_run)
        serving_folder = path_utils.serving_model_dir(model)
        fit_model(
            reference,
            split_source(pyramid, "calibration"),
            spec,
            settings,
            run_folder,
            serving_folder,
            json.loads(exec_properties["provenance"]),
            report=_report,
        )
        io_utils.copy_dir(transform_graph, os.path.join(serving_folder, "assets.extra", "transform_graph"))
        if run_folder != model_run:
            io_utils.copy_dir(run_folder, model_run)


def _run_folder(
    exec_properties: dict[str, Any],
    reference: PyramidSource,
    spec: ImageSpec,
    settings: TrainerSettings,
    model_run: str,
) -> str:
    """Returns where the run keeps its checkpoints.

    Every attempt of a step gets a new output folder, so a run that goes on after a crash needs one that
    outlives the attempt: the same for the same images, settings and code.
    """
    run_root = exec_properties["run_root"]
    if not run_root:
        return model_run
    key = run_key(reference, spec, settings, exec_properties["code_version"])
    folder = os.path.join(run_root, key)
    tf.io.gfile.makedirs(folder)
    return folder


def _report(line: str) -> None:
    print(f"  {line}", flush=True)
