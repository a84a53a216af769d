"""Measures a model through its SavedModel, writes the report, and blesses or refuses the model."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact, artifact_utils
from tfx.utils import path_utils

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator import held_out, measure, slices
from proganomaly.components.evaluator.gate import Measured, Verdict, decide
from proganomaly.components.evaluator.predict import Predictions, ServedModel, predict, to_csv
from proganomaly.components.evaluator.report import build_report
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.files import write_atomic
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ImageRecord, read_image_examples
from proganomaly.components.settings import from_json

METRICS_FILE, PREDICTIONS_FILE, REPORT_FILE = "metrics.json", "predictions.csv", "report/index.html"
TFMA_FOLDER = "tfma"
_NO_METRICS = {
    **dict.fromkeys(("image_auroc", "average_precision", "f1_max", "pixel_auroc", "aupro")),
    **dict.fromkeys(("recall", "false_positive_rate", "threshold")),
}


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
            input_dict: `examples`, `model`.
            output_dict: `evaluation`, `blessing`; see the component.
            exec_properties: `settings` and `image_spec` as JSON, `baseline_model` (a path or "").

        Raises:
            UserError: there is nothing to measure on, or a model cannot be used.
        """
        settings = from_json(EvaluatorSettings, exec_properties["settings"])
        spec = from_json(ImageSpec, exec_properties["image_spec"])
        model_artifact = artifact_utils.get_single_instance(input_dict["model"])
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        split, records = _held_out_records(input_dict["examples"])
        print(
            f"evaluator: scoring {len(records)} images of the split {split} with the exported model",
            flush=True,
        )

        model = ServedModel(path_utils.serving_model_path(model_artifact.uri))
        truth = held_out.read_truth(records, split, spec)
        predictions = predict(model, records, truth.labels, settings.batch_size)
        if predictions.anomaly_map.shape != truth.masks.shape:
            raise UserError(
                f"the model's anomaly maps are {predictions.anomaly_map.shape[1:]} pixels; image_spec says "
                f"{spec.resolution} x {spec.resolution}"
            )
        metrics = {"split": split, "images": len(records), **_measure(predictions, truth)}
        train = _records(input_dict["examples"], held_out.TRAIN)
        train_images = held_out.sample_images(train, spec, settings.baseline_images)
        images = held_out.decode_records(records, spec)
        metrics["baselines"] = measure.measure_baselines(train_images, images, truth)
        served = exec_properties["baseline_model"]
        metrics["baseline_model"] = _measure_served(served, records, truth, settings) if served else None
        verdict = _judge(metrics, settings)
        metrics.update(blessed=verdict.blessed, reasons=list(verdict.reasons))

        _write_results(evaluation, metrics, predictions)
        report = build_report(metrics, predictions, truth, model, spec, settings.report_images)
        for name, png in report.pictures.items():
            write_atomic(f"{evaluation}/report/{name}", png)
        write_atomic(f"{evaluation}/{REPORT_FILE}", report.html)
        _bless(artifact_utils.get_single_instance(output_dict["blessing"]), model_artifact, served, verdict)


def _records(examples: list[artifact.Artifact], split: str) -> Iterator[ImageRecord]:
    """Reads a split of all Examples artifacts."""
    uris = artifact_utils.get_split_uris(examples, split)
    return itertools.chain.from_iterable(read_image_examples(uri) for uri in uris)


def _held_out_records(examples: list[artifact.Artifact]) -> tuple[str, list[ImageRecord]]:
    """Returns the split to measure on and its images."""
    splits = artifact_utils.decode_split_names(examples[0].split_names)
    split = held_out.choose_split(splits)
    if split not in splits:
        raise UserError(
            f"the evaluator needs a split named {held_out.TEST} or {held_out.CALIBRATION}; the data has "
            f"{', '.join(splits) or 'none'}"
        )
    records = list(_records(examples, split))
    if not records:
        raise UserError(f"the split {split} holds no images to measure the model on")
    return split, records


def _measure(predictions: Predictions, truth: held_out.Truth) -> dict[str, Any]:
    """Measures the new model; one whose scores are not finite has no metrics."""
    not_finite = measure.count_not_finite(predictions)
    if not_finite:
        return {**_NO_METRICS, "by_defect_type": {}, "scores_not_finite": not_finite}
    return {**measure.measure_model(predictions, truth), "scores_not_finite": 0}


def _measure_served(
    path: str, records: list[ImageRecord], truth: held_out.Truth, settings: EvaluatorSettings
) -> dict[str, Any]:
    """Measures the served model on the same images."""
    predictions = predict(ServedModel(path), records, truth.labels, settings.batch_size)
    if measure.count_not_finite(predictions):
        return {"path": path, **_NO_METRICS}
    return {
        "path": path,
        **measure.measure_scores(predictions.score, predictions.anomaly_map, truth),
        **measure.rates(predictions, truth),
        "threshold": predictions.threshold,
    }


def _judge(metrics: dict[str, Any], settings: EvaluatorSettings) -> Verdict:
    served = metrics["baseline_model"]
    measured = Measured(
        image_auroc=metrics["image_auroc"],
        served_auroc=served["image_auroc"] if served else None,
        scores_not_finite=metrics["scores_not_finite"],
    )
    return decide(measured, settings)


def _write_results(evaluation: str, metrics: dict[str, Any], predictions: Predictions) -> None:
    """Writes everything but the report."""
    write_atomic(f"{evaluation}/{METRICS_FILE}", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    write_atomic(f"{evaluation}/{PREDICTIONS_FILE}", to_csv(predictions))
    if not metrics["scores_not_finite"]:
        slices.analyze(predictions, f"{evaluation}/{TFMA_FOLDER}")


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
