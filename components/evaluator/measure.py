"""Every number that the evaluator states, computed from stored predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.evaluator.held_out import Truth
from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.metrics import baselines, detection
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL

UNKNOWN_DEFECT = "unknown"


def count_not_finite(predictions: Predictions) -> int:
    """Returns how many images have a score or a map that is not finite."""
    maps = np.isfinite(predictions.anomaly_map).all(axis=(1, 2))
    return int(np.count_nonzero(~(np.isfinite(predictions.score) & maps)))


def measure_model(predictions: Predictions, truth: Truth) -> dict[str, Any]:
    """Measures a model whose scores are all finite.

    Returns:
        `image_auroc`, `average_precision`, `f1_max`, `pixel_auroc`, `aupro`, `recall` and
        `false_positive_rate` at the model's threshold, `threshold`, and `by_defect_type`. A number that is
        undefined, for want of anomalies, normal images or masks, is None.
    """
    return {
        **measure_scores(predictions.score, predictions.anomaly_map, truth),
        **rates(predictions, truth),
        "threshold": predictions.threshold,
        "by_defect_type": by_defect_type(predictions, truth),
    }


def measure_scores(scores: NDArray, maps: NDArray, truth: Truth) -> dict[str, float | None]:
    """Measures any detector by its scores [N] and maps [N, H, W], whatever their scale.

    Pixels are measured only where the maps have the masks' resolution: a served model's may be another.
    """
    known = truth.labels >= NORMAL
    labels = truth.labels[known]
    comparable = maps.shape == truth.masks.shape
    pixels = (truth.masks[truth.has_pixels], maps[truth.has_pixels]) if comparable else None
    return {
        "image_auroc": detection.image_auroc(labels, scores[known]),
        "average_precision": detection.average_precision(labels, scores[known]),
        "f1_max": detection.f1_max(labels, scores[known]),
        "pixel_auroc": detection.pixel_auroc(*pixels) if pixels else None,
        "aupro": detection.aupro(*pixels) if pixels else None,
    }


def rates(predictions: Predictions, truth: Truth) -> dict[str, float | None]:
    """Returns the shares of normal and of anomalous images that are flagged."""
    return {
        "false_positive_rate": _mean(predictions.is_anomaly[truth.labels == NORMAL]),
        "recall": _mean(predictions.is_anomaly[truth.labels == ANOMALOUS]),
    }


def defect_types(predictions: Predictions) -> NDArray[np.str_]:
    """Returns each image's kind of defect [N]: "good" for normal ones, "unknown" where nothing is known."""
    names = []
    for record, label in zip(predictions.records, predictions.labels, strict=True):
        names.append(GOOD if label == NORMAL else record.defect_type or UNKNOWN_DEFECT)
    return np.array(names, dtype=np.str_)


def by_defect_type(predictions: Predictions, truth: Truth) -> dict[str, dict[str, float | int | None]]:
    """Measures each kind of defect, "good" first.

    Returns:
        Kind -> `images`, `flagged` (share at the model's threshold), `mean_normalized_score` and
        `image_auroc` (against all normal images; None for "good").
    """
    names = defect_types(predictions)
    normal = truth.labels == NORMAL
    result = {}
    for name in sorted(set(names.tolist()), key=lambda name: (name != GOOD, name)):
        own = (names == name) & (truth.labels >= NORMAL)
        if not own.any():
            continue
        both = own | normal
        result[name] = {
            "images": int(own.sum()),
            "flagged": _mean(predictions.is_anomaly[own]),
            "mean_normalized_score": _mean(predictions.normalized_score[own]),
            "image_auroc": detection.image_auroc(truth.labels[both], predictions.score[both]),
        }
    return result


def measure_baselines(
    train: NDArray[np.uint8], images: NDArray[np.uint8], truth: Truth
) -> dict[str, dict[str, float | int | None]]:
    """Measures the two plain baselines, fitted on the training images.

    Args:
        train: [N, R, R, C].
        images: [M, R, R, C], those of `truth`.
        truth: What is known of `images`.
    """
    return {
        "knn5": {
            "train_images": len(train),
            **_measure_baseline(baselines.knn_baseline(train, images), truth),
        },
        "pca64": {
            "train_images": len(train),
            **_measure_baseline(baselines.pca_baseline(train, images), truth),
        },
    }


def _measure_baseline(result: baselines.ScoresAndMaps, truth: Truth) -> dict[str, float | None]:
    return measure_scores(*result, truth)


def _mean(values: NDArray) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None
