"""The evaluation as one self-contained HTML page."""

import base64
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
import numpy as np

from proganomaly.components.evaluator import figures
from proganomaly.components.evaluator.data_notes import DataNotes
from proganomaly.components.evaluator.evaluation import Evaluation
from proganomaly.components.evaluator.galleries import Gallery, choose_galleries
from proganomaly.components.evaluator.gate import SIMPLER_NAMES
from proganomaly.components.evaluator.held_out import CALIBRATION, SYNTHETIC
from proganomaly.components.evaluator.predict import ServedModel
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import NORMAL

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_IMAGE_COLUMNS = {
    "image_auroc": "image AUROC",
    "average_precision": "average precision",
    "f1_max": "best F1",
    "fpr_at_95_tpr": "FPR at 95 % TPR",
}
_PIXEL_COLUMNS = {"pixel_auroc": "pixel AUROC", "pixel_average_precision": "pixel AP", "aupro": "AUPRO"}

# What the components of a score are; a new one is shown without.
_COMPONENTS = {
    "map_top": "the highest hundredth of the anomaly map",
    "map_max": "the highest value of the anomaly map",
    "map_mean": "the mean of the anomaly map",
    "encoder_density": "how far the encoder's features are from those of normal images",
    "untrained_density": "how far features of random weights are from those of normal images",
    "discriminator_density": "how far the discriminator's features are from those of normal images",
    "transform_density": "how far the features that tell transformations are from those of normal images",
    "transform_prediction": "how badly the network tells how the image was transformed",
    "pixel_residual": "how far the reconstruction is from the image, pixel by pixel",
    "structural_residual": "how far the reconstruction's structure is from the image's, at several scales",
    "feature_residual": "how far the reconstruction is from the image in the discriminator's features",
    "residual_mahalanobis": "how unusual the reconstruction's error is",
    "latent_norm": "how unusual the length of the image's code is",
    "critic": "how unreal the discriminator finds the image",
}


@dataclasses.dataclass(frozen=True)
class Report:
    """The page and its pictures.

    Attributes:
        html: The whole page, pictures included.
        pictures: The same pictures as PNG files, by file name.
    """

    html: str
    pictures: dict[str, bytes]


def build_report(
    evaluation: Evaluation, model: ServedModel, spec: ImageSpec, num_images: int, notes: DataNotes
) -> Report:
    """Builds the report; where a score is not finite, without pictures.

    Args:
        evaluation: What is told.
        model: Asked again for the reconstructions of the few images that are shown.
        spec: What the network sees.
        num_images: Images in each gallery.
        notes: What is told of the data.
    """
    metrics = evaluation.metrics
    plots: dict[str, bytes] = {}
    galleries: list[Gallery] = []
    if not metrics["scores_not_finite"]:
        plots = _plots(evaluation)
        galleries = choose_galleries(evaluation, model, spec, num_images)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(_FILTERS)
    is_synthetic = metrics["anomalies"] == SYNTHETIC
    html = environment.get_template("report.html").render(
        metrics=metrics,
        synthetic=is_synthetic,
        anomalies="synthetic defects" if is_synthetic else "anomalies",
        fitted_on_these=metrics["normals"] == CALIBRATION,
        columns=_IMAGE_COLUMNS | _PIXEL_COLUMNS,
        pixel_columns=_PIXEL_COLUMNS,
        rows=_comparison(metrics),
        components=_components(metrics),
        plots=plots,
        galleries=galleries,
        notes=notes,
    )
    pictures = {f"{name}.png": png for name, png in plots.items()}
    for gallery in galleries:
        pictures.update({f"{gallery.stem}_{i}.png": one["png"] for i, one in enumerate(gallery.strips)})
    return Report(html, pictures)


def _comparison(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the rows of the table of detectors: this model first."""
    rows = [("this model", metrics), ("the served model", metrics["baseline_model"])]
    others = {"control": metrics["control"], **metrics["baselines"]}
    rows.extend((SIMPLER_NAMES.get(name, name), values) for name, values in others.items())
    return [(name, values) for name, values in rows if values]


def _plots(evaluation: Evaluation) -> dict[str, bytes]:
    """Draws the curves; those of two classes only where there are both."""
    labels, predictions = evaluation.truth.labels, evaluation.predictions
    interval = evaluation.metrics["model"]["threshold_interval"]
    anomalies = "synthetic defects" if evaluation.metrics["anomalies"] == SYNTHETIC else "anomalous"
    threshold, known = predictions.threshold, labels >= NORMAL
    plots = {"scores": figures.score_histogram(labels, predictions.score, threshold, interval, anomalies)}
    if len(np.unique(labels[known])) == 2:
        plots["roc"] = figures.roc_curve(labels[known], predictions.score[known], threshold)
    return plots


def _components(metrics: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Returns name, meaning and numbers of the components that can be measured, the best first."""
    measured = {
        name: values for name, values in metrics["components"].items() if values["image_auroc"] is not None
    }
    ordered = sorted(measured.items(), key=lambda one: -one[1]["image_auroc"])
    return [(name, _COMPONENTS.get(name, ""), values) for name, values in ordered]


def _formatted(pattern: str, unknown: str = "–") -> Callable[[float | None], str]:
    """Returns a filter; nothing to show is `unknown`."""
    return lambda value: pattern.format(value) if value is not None else unknown


def _bounds(pattern: str) -> Callable[[Sequence[float] | None], str]:
    """Returns a filter for intervals, which may be missing."""
    return lambda bounds: " – ".join(pattern.format(bound) for bound in bounds) if bounds else ""


def _mebibytes(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**20:.1f} MiB"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


_FILTERS = {
    "number": _formatted("{:.3f}"),
    "percent": _formatted("{:.1%}"),
    "significant": _formatted("{:.3g}"),
    "count": _formatted("{:,}"),
    "interval": _bounds("{:.3f}"),
    "percent_interval": _bounds("{:.1%}"),
    "significant_interval": _bounds("{:.3g}"),
    "mebibytes": _mebibytes,
    "data_uri": _data_uri,
}
