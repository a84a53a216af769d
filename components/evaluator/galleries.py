"""The images that a report shows, chosen by what a person would want to look at."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.evaluator import figures
from proganomaly.components.evaluator.evaluation import Evaluation
from proganomaly.components.evaluator.held_out import SYNTHETIC, decode_records
from proganomaly.components.evaluator.predict import RECONSTRUCTION, Predictions, Scored, ServedModel
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL

_SUSPECTS = (
    "Training images with the highest scores, of {searched}; each half was scored with the other half as its "
    "references. A person should look: these may be anomalies among the normal images. suspects.csv has more."
)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A titled list of image strips; `stem` begins the names of their files."""

    stem: str
    title: str
    note: str
    strips: list[dict[str, Any]]


def choose_galleries(
    evaluation: Evaluation, model: ServedModel, spec: ImageSpec, num_images: int
) -> list[Gallery]:
    """Chooses and draws the images to show; a gallery without images is left out.

    Args:
        evaluation: Every score in it is finite.
        model: Asked again for the reconstructions of the few images that are shown.
        spec: What the network sees.
        num_images: Images in each gallery.
    """
    predictions, truth, suspects = evaluation.predictions, evaluation.truth, evaluation.suspects
    by_score = np.argsort(predictions.score, kind="stable")
    anomalous = by_score[truth.labels[by_score] == ANOMALOUS]
    normal = by_score[truth.labels[by_score] == NORMAL][::-1]
    unknown = by_score[truth.labels[by_score] < NORMAL][::-1]
    is_synthetic = evaluation.metrics["anomalies"] == SYNTHETIC
    defect, anomalies = ("synthetic defect", "Synthetic defects") if is_synthetic else ("defect", "Anomalies")
    choices = (
        (
            "typical",
            "One of each kind",
            f"Of each kind of {defect}, the image with the median score.",
            _medians(anomalous, predictions),
        ),
        ("worst_misses", "Worst misses", f"{anomalies} with the lowest scores.", anomalous),
        ("highest_normal", "Nearest to a false alarm", "Normal images with the highest scores.", normal),
        ("highest_unknown", "Unlabelled", "Images of unknown label with the highest scores.", unknown),
    )
    heat = figures.heat_range(predictions.anomaly_map, truth.labels)
    galleries = []
    for stem, title, note, rows in choices:
        shown = rows[:num_images]
        strips = _strips(predictions.take(shown), truth.masks[shown], model, spec, heat)
        galleries.append(Gallery(stem, title, note, strips))
    if suspects:
        shown = np.arange(min(num_images, len(suspects.records)))
        strips = _strips(suspects.take(shown), None, model, spec, heat)
        note = _SUSPECTS.format(searched=evaluation.metrics["suspects_searched"])
        galleries.append(Gallery("suspects", "Suspects among the training images", note, strips))
    return [gallery for gallery in galleries if gallery.strips]


def _medians(by_score: NDArray, predictions: Predictions) -> NDArray:
    """Returns of each kind of defect, in alphabetical order, the image in the middle of its scores."""
    kinds: dict[str, list[int]] = {}
    for row in by_score:
        kinds.setdefault(predictions.records[row].defect_type, []).append(row)
    return np.array([rows[len(rows) // 2] for _, rows in sorted(kinds.items())], dtype=int)


def _strips(
    shown: Scored, masks: NDArray | None, model: ServedModel, spec: ImageSpec, heat: tuple[float, float]
) -> list[dict[str, Any]]:
    """Draws images and says of each what its caption needs; `masks` belong to them, [N, R, R]."""
    if not shown.records:
        return []
    originals = decode_records(shown.records, spec)
    encoded = [record.image for record in shown.records]
    reconstructions = model.explain(encoded, batch_size=len(encoded), without=())[RECONSTRUCTION]
    strips = []
    for row, record in enumerate(shown.records):
        mask = masks[row] if masks is not None and record.mask is not None else None
        png = figures.strip(originals[row], reconstructions[row], shown.anomaly_map[row], mask, heat)
        strips.append(
            {
                "png": png,
                "filename": record.filename,
                "defect_type": record.defect_type,
                "score": float(shown.score[row]),
                "p_value": float(shown.p_value[row]),
                "flagged": bool(shown.is_anomaly[row]),
                "has_mask": mask is not None,
            }
        )
    return strips
