"""Measures a model through its SavedModel, writes the report, and blesses or refuses the model."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact, artifact_utils
from tfx.utils import path_utils

from proganomaly.components.evaluator import slices, suspects
from proganomaly.components.evaluator.data_notes import read_data_notes
from proganomaly.components.evaluator.evaluation import Evaluation, evaluate
from proganomaly.components.evaluator.gate import Verdict
from proganomaly.components.evaluator.held_out import Data
from proganomaly.components.evaluator.predict import ServedModel, to_csv
from proganomaly.components.evaluator.report import build_report
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.files import write_atomic
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ImageRecord, read_image_examples
from proganomaly.components.settings import from_json

METRICS_FILE, PREDICTIONS_FILE, SUSPECTS_FILE = "metrics.json", "predictions.csv", "suspects.csv"
REPORT_FILE, TFMA_FOLDER = "report/index.html", "tfma"


class Executor(tfx_evaluator.Executor):
    """Executor of AnomalyEvaluator.

    It is TFX's by descent only: Kubeflow rewrites the blessing of that class's descendants. TFX's own `Do`
    would score a second time and bless by thresholds that hold for every slice.
    """

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Scores, measures, reports, blesses.

        Args:
            input_dict: `examples`, `model`; `drift` where there is a detector.
            output_dict: `evaluation`, `blessing`; see the component.
            exec_properties: `settings` and `image_spec` as JSON, `baseline_model` (a path or "").

        Raises:
            UserError: there is nothing to measure on, or a model cannot be used.
        """
        settings = from_json(EvaluatorSettings, exec_properties["settings"])
        spec = from_json(ImageSpec, exec_properties["image_spec"])
        served = exec_properties["baseline_model"]
        examples = input_dict["examples"]
        model_artifact = artifact_utils.get_single_instance(input_dict["model"])
        folder = artifact_utils.get_single_uri(output_dict["evaluation"])

        def read(split: str) -> Iterator[ImageRecord]:
            uris = artifact_utils.get_split_uris(examples, split)
            return itertools.chain.from_iterable(read_image_examples(uri) for uri in uris)

        model = ServedModel(path_utils.serving_model_path(model_artifact.uri))
        data = Data(read, artifact_utils.decode_split_names(examples[0].split_names), spec)
        evaluation = evaluate(model, served, data, settings)
        _write_results(folder, evaluation)
        notes = read_data_notes(examples[0].uri, _uri(input_dict.get("drift")), settings.report_quarantined)
        report = build_report(evaluation, model, spec, settings.report_images, notes)
        for name, png in report.pictures.items():
            write_atomic(f"{folder}/report/{name}", png)
        write_atomic(f"{folder}/{REPORT_FILE}", report.html)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        _bless(blessing, model_artifact, served, evaluation.verdict)


def _uri(optional: list[artifact.Artifact] | None) -> str:
    return artifact_utils.get_single_uri(optional) if optional else ""


def _write_results(folder: str, evaluation: Evaluation) -> None:
    """Writes everything but the report."""
    metrics, predictions = evaluation.metrics, evaluation.predictions
    write_atomic(f"{folder}/{METRICS_FILE}", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    write_atomic(f"{folder}/{PREDICTIONS_FILE}", to_csv(predictions))
    if evaluation.suspects:
        write_atomic(f"{folder}/{SUSPECTS_FILE}", suspects.to_csv(evaluation.suspects))
    if not metrics["scores_not_finite"]:
        slices.analyze(predictions, f"{folder}/{TFMA_FOLDER}")


def _bless(blessing: artifact.Artifact, model: artifact.Artifact, served: str, verdict: Verdict) -> None:
    """Leaves the verdict as TFX's Evaluator would, with its reasons beside."""
    value = constants.BLESSED_VALUE if verdict.blessed else constants.NOT_BLESSED_VALUE
    file_name = constants.BLESSED_FILE_NAME if verdict.blessed else constants.NOT_BLESSED_FILE_NAME
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    if served:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, served)
    blessing.set_string_custom_property("reasons", json.dumps(verdict.reasons))
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    write_atomic(f"{blessing.uri}/{file_name}", "")
