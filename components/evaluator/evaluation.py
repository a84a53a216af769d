"""What there is to say of a model: measured, compared, judged."""

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator import held_out, measure
from proganomaly.components.evaluator.gate import SIMPLER_NAMES, Measured, Verdict, decide
from proganomaly.components.evaluator.held_out import CALIBRATION, TRAIN, Data, HeldOut, Truth
from proganomaly.components.evaluator.predict import Predictions, Scored, ServedModel, predict
from proganomaly.components.evaluator.rebuilt import NotRebuilt, read_recipe, score_untrained
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.evaluator.source_images import measure_sources
from proganomaly.components.evaluator.suspects import find_suspects
from proganomaly.components.images.spec import TILES
from proganomaly.components.metrics.detection import image_auroc
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL, ImageRecord

# What the exported model says of itself and the report repeats.
_DESCRIBED = (
    *(
        "false_positive_rate",
        "threshold",
        "threshold_interval",
        "pixel_threshold",
        "pixel_threshold_interval",
    ),
    *("calibration_images", "reference_images", "reference_bytes", "members", "notes"),
)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model, measured.

    Attributes:
        metrics: Everything that can be said in numbers, and the verdict; `metrics.json`.
        verdict: Whether the model is blessed.
        predictions: What the model says of the images.
        truth: What is known of them.
        suspects: The most suspicious training images; None where none were searched.
    """

    metrics: dict[str, Any]
    verdict: Verdict
    predictions: Predictions
    truth: Truth
    suspects: Scored | None


def evaluate(model: ServedModel, served: str, data: Data, settings: EvaluatorSettings) -> Evaluation:
    """Scores held-out images through the model and through what it is compared with.

    Args:
        model: The new model.
        served: Folder of the served model; "" without one.
        data: The images.
        settings: How to measure and to judge.

    Raises:
        UserError: there is nothing to measure on, or a model cannot be used.
    """
    held = held_out.collect(data, settings)
    print(f"evaluator: scoring {_described(held)} with the exported model", flush=True)
    truth = held_out.read_truth(held.records, data.spec)
    predictions = predict(model, held.records, truth.labels, settings.batch_size)
    if predictions.anomaly_map.shape != truth.masks.shape:
        raise UserError(
            f"the model's anomaly maps are {predictions.anomaly_map.shape[1:]} pixels; image_spec says "
            f"{data.spec.resolution} x {data.spec.resolution}"
        )
    description = model_description(model)
    metrics = {
        "split": held.split,
        "normals": held.normals,
        "anomalies": held.anomalies,
        "images": len(held.records),
        "unit": "tiles" if data.spec.fit == TILES else "images",
        "model": description,
        **_measure(predictions, truth, held, description["false_positive_rate"]),
        "components": _measure_components(predictions, truth, description["members"] or ()),
        "baseline_model": _measure_served(served, held.records, truth, settings) if served else None,
        **_measure_simpler(model, held, truth, data, settings),
    }
    is_finite = not metrics["scores_not_finite"]
    # Synthetic defects are drawn on some of an image's tiles: nothing is left to say of the image.
    if data.spec.fit == TILES and is_finite and held.anomalies != held_out.SYNTHETIC:
        rate = description["false_positive_rate"]
        metrics["sources"] = measure_sources(predictions, truth.labels, rate)
    verdict = _judge(metrics, settings)
    metrics.update(blessed=verdict.blessed, reasons=list(verdict.reasons))
    searched, suspects = _search_suspects(model, data, settings) if is_finite else (0, None)
    metrics["suspects_searched"] = searched
    return Evaluation(metrics, verdict, predictions, truth, suspects)


def model_description(model: ServedModel) -> dict[str, Any]:
    """Returns what is known of the model's threshold, calibration and references; None for the rest."""
    description = model.description or {}
    scoring = description.get("scoring", {})
    known = {**description, **{name: scoring.get(name) for name in ("false_positive_rate", "members")}}
    return {name: known.get(name) for name in _DESCRIBED}


def _described(held: HeldOut) -> str:
    number, split = len(held.records), held.split
    if held.anomalies != held_out.SYNTHETIC:
        return f"{number} images of the split {split}"
    defective = sum(record.label == ANOMALOUS for record in held.records)
    return f"{number} images of the split {split}, {defective} of them with synthetic defects,"


def _measure(
    predictions: Predictions, truth: Truth, held: HeldOut, stated_rate: float | None
) -> dict[str, Any]:
    """Measures the new model; one whose scores are not finite has no metrics."""
    not_finite = measure.count_not_finite(predictions)
    if not_finite:
        return {**measure.NO_METRICS, "scores_not_finite": not_finite}
    # On the images that the threshold was fitted on, its rate is what it was set to be: nothing to check.
    checked = None if held.normals == CALIBRATION else stated_rate
    return {**measure.measure_model(predictions, truth, checked), "scores_not_finite": 0}


def _measure_components(
    predictions: Predictions, truth: Truth, members: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Measures each component of the score by itself, and says whether the score is made of it."""
    known = truth.labels >= NORMAL
    measured = {}
    for name, values in predictions.components.items():
        usable = bool(np.isfinite(values[known]).all())
        auroc = image_auroc(truth.labels[known], values[known]) if usable else None
        measured[name] = {"image_auroc": auroc, "member": name in members}
    return measured


def _measure_served(
    path: str, records: list[ImageRecord], truth: Truth, settings: EvaluatorSettings
) -> dict[str, Any]:
    """Measures the served model on the same images, if it takes them."""
    try:
        predictions = predict(ServedModel(path), records, truth.labels, settings.batch_size)
    except tf.errors.InvalidArgumentError:
        # One of tiles, of another size than these images.
        print("evaluator: the served model takes no images of this size: it is not compared", flush=True)
        return {"path": path, **measure.NO_METRICS}
    if measure.count_not_finite(predictions):
        return {"path": path, **measure.NO_METRICS}
    return {"path": path, **measure.measure_model(predictions, truth)}


def _measure_simpler(
    model: ServedModel, held: HeldOut, truth: Truth, data: Data, settings: EvaluatorSettings
) -> dict[str, Any]:
    """Measures the baselines, and the untrained networks or why there are none."""
    train, calibration = (
        held_out.sample_images(data.records(split), data.spec, settings.baseline_images)
        for split in (TRAIN, CALIBRATION)
    )
    images = held_out.decode_records(held.records, data.spec)
    control, missing = None, ""
    try:
        scores, maps = score_untrained(
            read_recipe(model), data.spec, train, calibration, images, settings.batch_size
        )
        control = {"train_images": len(train), **measure.measure_scores(scores, maps, truth)}
    except NotRebuilt as error:
        missing = str(error)
    return {
        "baselines": measure.measure_baselines(train, images, truth),
        "control": control,
        "control_missing": missing,
    }


def _search_suspects(
    model: ServedModel, data: Data, settings: EvaluatorSettings
) -> tuple[int, Scored | None]:
    """Returns how many training images were searched, and the suspects among them."""
    train, calibration = (
        held_out.sample(data.records(split), settings.suspect_images) for split in (TRAIN, CALIBRATION)
    )
    try:
        recipe = read_recipe(model)
        usual = held_out.decode_records(calibration, data.spec)
        return len(train), find_suspects(recipe, data.spec, train, usual, settings.batch_size)
    except NotRebuilt:
        return 0, None


def _judge(metrics: dict[str, Any], settings: EvaluatorSettings) -> Verdict:
    served = metrics["baseline_model"]
    simpler = {**metrics["baselines"], "control": metrics["control"]}
    measured = Measured(
        image_auroc=metrics["image_auroc"],
        served_auroc=served["image_auroc"] if served else None,
        scores_not_finite=metrics["scores_not_finite"],
        simpler_aurocs={
            SIMPLER_NAMES.get(name, name): values["image_auroc"]
            for name, values in simpler.items()
            if values and values["image_auroc"] is not None
        },
        synthetic=metrics["anomalies"] == held_out.SYNTHETIC,
    )
    return decide(measured, settings)
