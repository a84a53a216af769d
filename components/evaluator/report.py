"""The evaluation as one self-contained HTML page."""

import base64
import dataclasses
import pathlib
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from proganomaly.components.evaluator import figures
from proganomaly.components.evaluator.held_out import CALIBRATION, Truth, decode_records
from proganomaly.components.evaluator.predict import RECONSTRUCTION, Predictions, ServedModel
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_COLUMNS = {
    "image_auroc": "image AUROC",
    "average_precision": "average precision",
    "f1_max": "best F1",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
}
_BASELINE_NAMES = {"knn5": "kNN-5 on pixels", "pca64": "PCA-64 on pixels"}


@dataclasses.dataclass(frozen=True)
class _Gallery:
    """A titled list of image strips; `stem` begins the names of their files."""

    stem: str
    title: str
    note: str
    strips: list[dict[str, Any]]


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
    metrics: dict[str, Any],
    predictions: Predictions,
    truth: Truth,
    model: ServedModel,
    spec: ImageSpec,
    num_images: int,
) -> Report:
    """Builds the report.

    Args:
        metrics: As in `metrics.json`.
        predictions: What the model said, every score finite or the pictures are left out.
        truth: What is known of the same images.
        model: Asked again for the reconstructions of the few images that are shown.
        spec: What the network sees.
        num_images: Images in each gallery.
    """
    pictures: dict[str, bytes] = {}
    galleries: list[_Gallery] = []
    if not metrics["scores_not_finite"]:
        pictures.update(_plots(predictions, truth))
        galleries = _galleries(predictions, truth, model, spec, num_images)
        for gallery in galleries:
            pictures.update({f"{gallery.stem}_{i}.png": one["png"] for i, one in enumerate(gallery.strips)})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    environment.filters["percent"] = _percent
    environment.filters["data_uri"] = _data_uri
    html = environment.get_template("report.html").render(
        metrics=metrics,
        fitted_on_these=metrics["split"] == CALIBRATION,
        columns=_COLUMNS,
        rows=_comparison(metrics),
        plots=[(name, pictures[f"{name}.png"]) for name in ("roc", "scores") if f"{name}.png" in pictures],
        galleries=galleries,
    )
    return Report(html, pictures)


def _comparison(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the rows of the table of detectors: this model first."""
    rows = [("this model", metrics)]
    if metrics["baseline_model"]:
        rows.append(("served model", metrics["baseline_model"]))
    rows.extend((_BASELINE_NAMES.get(name, name), values) for name, values in metrics["baselines"].items())
    return rows


def _plots(predictions: Predictions, truth: Truth) -> dict[str, bytes]:
    labels, known = truth.labels, truth.labels >= NORMAL
    plots = {"scores.png": figures.score_histogram(labels, predictions.score, predictions.threshold)}
    if len(np.unique(labels[known])) == 2:
        plots["roc.png"] = figures.roc_curve(labels[known], predictions.score[known], predictions.threshold)
    return plots


def _galleries(
    predictions: Predictions, truth: Truth, model: ServedModel, spec: ImageSpec, num_images: int
) -> list[_Gallery]:
    """Chooses the images to show; a gallery without images is left out."""
    by_score = np.argsort(predictions.score, kind="stable")
    anomalous = by_score[truth.labels[by_score] == ANOMALOUS]
    normal = by_score[truth.labels[by_score] == NORMAL]
    unknown = by_score[truth.labels[by_score] < NORMAL]
    choices = (
        (
            "typical",
            "One of each kind",
            "Of each kind of defect, the image with the median score.",
            _medians(anomalous, predictions),
        ),
        ("worst_misses", "Worst misses", "Anomalous images with the lowest scores.", anomalous),
        (
            "highest_normal",
            "Nearest to a false alarm",
            "Normal images with the highest scores.",
            normal[::-1],
        ),
        ("highest_unknown", "Unlabelled", "Images of unknown label with the highest scores.", unknown[::-1]),
    )
    heat = figures.heat_range(predictions.anomaly_map, truth.labels)
    galleries = []
    for stem, title, note, rows in choices:
        shown = rows[:num_images]
        if len(shown):
            strips = _strips(shown, predictions, truth, model, spec, heat)
            galleries.append(_Gallery(stem, title, note, strips))
    return galleries


def _medians(by_score: NDArray, predictions: Predictions) -> NDArray:
    """Returns of each kind of defect, in alphabetical order, the image in the middle of its scores."""
    kinds: dict[str, list[int]] = {}
    for row in by_score:
        kinds.setdefault(predictions.records[row].defect_type, []).append(row)
    return np.array([rows[len(rows) // 2] for _, rows in sorted(kinds.items())], dtype=int)


def _strips(
    rows: NDArray,
    predictions: Predictions,
    truth: Truth,
    model: ServedModel,
    spec: ImageSpec,
    heat: tuple[float, float],
) -> list[dict[str, Any]]:
    records = [predictions.records[row] for row in rows]
    originals = decode_records(records, spec)
    encoded = [record.image for record in records]
    reconstructions = model.explain(encoded, batch_size=len(encoded), without=())[RECONSTRUCTION]
    strips = []
    for row, record, original, reconstruction in zip(rows, records, originals, reconstructions, strict=True):
        mask = truth.masks[row] if record.mask is not None else None
        strips.append(
            {
                "png": figures.strip(original, reconstruction, predictions.anomaly_map[row], mask, heat),
                "filename": record.filename,
                "defect_type": record.defect_type,
                "score": float(predictions.score[row]),
                "p_value": float(predictions.p_value[row]),
                "flagged": bool(predictions.is_anomaly[row]),
                "has_mask": mask is not None,
            }
        )
    return strips


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
