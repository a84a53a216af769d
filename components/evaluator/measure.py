"""Every number that the evaluator states, computed from stored predictions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from proganomaly.components.evaluator.held_out import Truth
from proganomaly.components.evaluator.predict import Predictions
from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.metrics import baselines, bootstrap, detection
from proganomaly.components.metrics.pixels import PIXEL_MEASURES, PixelCounter, PixelCounts, combined
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL

UNKNOWN_DEFECT = "unknown"
# What is stated of a model that cannot be measured.
NO_METRICS: dict[str, Any] = {
    **dict.fromkeys((*detection.IMAGE_MEASURES, *PIXEL_MEASURES)),
    **dict.fromkeys(("recall", "false_positive_rate", "threshold", "calibration")),
    "intervals": {},
    "by_defect_type": {},
}
# Pixels that are read at a time, of maps and masks that may be larger than the memory.
_CHUNK_PIXELS = 2**20


def count_not_finite(predictions: Predictions) -> int:
    """Returns how many images have a score or a map that is not finite."""
    finite = np.isfinite(predictions.score)
    for rows in _chunks(predictions.anomaly_map):
        finite[rows] &= np.isfinite(predictions.anomaly_map[rows]).all(axis=(1, 2))
    return int(np.count_nonzero(~finite))


def measure_model(predictions: Predictions, truth: Truth, stated_rate: float | None = None) -> dict[str, Any]:
    """Measures a model whose scores are all finite.

    Args:
        predictions: What the model says.
        truth: What is known of the same images.
        stated_rate: The false-positive rate that the threshold was set to have; None if it is unknown, or
            fitted on these very images.

    Returns:
        The numbers of `measure_scores`; `recall` and `false_positive_rate` at the model's `threshold`;
        `intervals` of those that have one; `calibration` and `by_defect_type`: see the functions of these
        names. A number that is undefined, for want of anomalies, normal images or masks, is None.
    """
    counts = _count_pixels(predictions.anomaly_map, truth, defect_types(predictions))
    images = _measure_images(predictions.score, truth)
    at_threshold = rates(predictions, truth)
    return {
        **images,
        **_pixel_measures(list(counts.values())),
        **at_threshold,
        "intervals": {**images["intervals"], **at_threshold["intervals"]},
        "threshold": predictions.threshold,
        "calibration": calibration(predictions, truth, stated_rate),
        "by_defect_type": by_defect_type(predictions, truth, counts),
    }


def measure_scores(scores: NDArray, maps: NDArray | None, truth: Truth) -> dict[str, Any]:
    """Measures any detector, whatever its scale.

    Args:
        scores: [N], finite.
        maps: [N, H, W], finite; pixels are measured only where they have the masks' resolution: a served
            model's may be another. None of a detector without.
        truth: What is known of the images.

    Returns:
        `image_auroc`, `average_precision`, `f1_max`, `fpr_at_95_tpr`, `pixel_auroc`,
        `pixel_average_precision` and `aupro`; and `intervals`, name -> (low, high), in which 95 % of the
        bootstrap's resamples lie, of the measures of images. A number that is undefined is None and has no
        interval.
    """
    counts = _count_pixels(maps, truth, np.full(len(truth.labels), "")) if maps is not None else {}
    return {**_measure_images(scores, truth), **_pixel_measures(list(counts.values()))}


def rates(predictions: Predictions, truth: Truth) -> dict[str, Any]:
    """Returns the shares of normal and of anomalous images that are flagged, and their intervals."""
    flagged = {
        "false_positive_rate": predictions.is_anomaly[truth.labels == NORMAL],
        "recall": predictions.is_anomaly[truth.labels == ANOMALOUS],
    }
    intervals = {name: bootstrap.share_interval(flags) for name, flags in flagged.items()}
    return {
        **{name: _mean(flags) for name, flags in flagged.items()},
        "intervals": {name: interval for name, interval in intervals.items() if interval},
    }


def calibration(predictions: Predictions, truth: Truth, stated_rate: float | None) -> dict[str, Any] | None:
    """Compares the share of normal images that are flagged with the one that the threshold is for.

    Returns:
        `stated_rate`, `observed_rate`, `interval` (low, high: the rates that the observation does not refute
        at 95 %; Clopper & Pearson, Biometrika 1934), `normals` (images) and `consistent` (whether the stated
        rate is one of them). None without a stated rate or a normal image.
    """
    flags = predictions.is_anomaly[truth.labels == NORMAL]
    if stated_rate is None or not len(flags):
        return None
    flagged = int(np.count_nonzero(flags))
    low, high = stats.binomtest(flagged, len(flags)).proportion_ci(0.95, method="exact")
    return {
        "stated_rate": stated_rate,
        "observed_rate": flagged / len(flags),
        "interval": (float(low), float(high)),
        "normals": len(flags),
        "consistent": bool(low <= stated_rate <= high),
    }


def defect_types(predictions: Predictions) -> NDArray[np.str_]:
    """Returns each image's kind of defect [N]: "good" for normal ones, "unknown" where nothing is known."""
    names = []
    for record, label in zip(predictions.records, predictions.labels, strict=True):
        names.append(GOOD if label == NORMAL else record.defect_type or UNKNOWN_DEFECT)
    return np.array(names, dtype=np.str_)


def by_defect_type(
    predictions: Predictions, truth: Truth, counts: dict[str, PixelCounts]
) -> dict[str, dict[str, float | int | None]]:
    """Measures each kind of defect, "good" first.

    Args:
        predictions: What the model says.
        truth: What is known of the same images.
        counts: The pixels of each kind.

    Returns:
        Kind -> `images`, `flagged` (share at the model's threshold), `mean_normalized_score`, `image_auroc`
        (against all normal images; None for "good"), and `pixel_auroc`, `pixel_average_precision` and `aupro`
        (against the sound pixels of its own images and of all normal ones).
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
            **_pixel_measures([counts[kind] for kind in dict.fromkeys((GOOD, name)) if kind in counts]),
        }
    return result


def measure_baselines(
    train: NDArray[np.uint8], images: NDArray[np.uint8], truth: Truth
) -> dict[str, dict[str, Any]]:
    """Measures the plain baselines, fitted on the training images.

    Args:
        train: [N, R, R, C].
        images: [M, R, R, C], those of `truth`.
        truth: What is known of `images`.

    Returns:
        Name -> `train_images` and what `measure_scores` says.
    """
    maps = scratch_array(images.shape[:3], np.float32)
    return {
        "knn5": _measure_baseline(*baselines.knn_baseline(train, images, maps=maps), train, truth),
        "pca64": _measure_baseline(*baselines.pca_baseline(train, images, maps=maps), train, truth),
        "isolation_forest": _measure_baseline(
            baselines.isolation_forest_baseline(train, images), None, train, truth
        ),
    }


def _measure_baseline(scores: NDArray, maps: NDArray | None, train: NDArray, truth: Truth) -> dict[str, Any]:
    return {"train_images": len(train), **measure_scores(scores, maps, truth)}


def _measure_images(scores: NDArray, truth: Truth) -> dict[str, Any]:
    known = truth.labels >= NORMAL
    labels, scores = truth.labels[known], scores[known]
    return {
        **detection.image_measures(labels, scores),
        "intervals": bootstrap.intervals(detection.IMAGE_MEASURES, labels, scores),
    }


def _count_pixels(maps: NDArray, truth: Truth, kinds: NDArray[np.str_]) -> dict[str, PixelCounts]:
    """Counts the pixels of each kind of image; nothing where there is nothing to find, or to compare with."""
    has_defects = bool((truth.has_pixels & (truth.labels == ANOMALOUS)).any())
    if not has_defects or maps.shape != truth.masks.shape:
        return {}
    counters: dict[str, PixelCounter] = {}
    for chunk in _chunks(maps):
        known = truth.has_pixels[chunk]
        own_kinds, own_masks, own_maps = kinds[chunk][known], truth.masks[chunk][known], maps[chunk][known]
        for kind in np.unique(own_kinds).tolist():
            rows = own_kinds == kind
            counters.setdefault(kind, PixelCounter()).add(own_masks[rows], own_maps[rows])
    return {kind: counter.counts() for kind, counter in counters.items()}


def _pixel_measures(counts: list[PixelCounts]) -> dict[str, float | None]:
    return combined(counts).measures() if counts else dict.fromkeys(PIXEL_MEASURES)


def _chunks(maps: NDArray) -> Iterator[slice]:
    step = max(1, _CHUNK_PIXELS // max(1, int(np.prod(maps.shape[1:]))))
    for start in range(0, len(maps), step):
        yield slice(start, start + step)


def _mean(values: NDArray) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None
