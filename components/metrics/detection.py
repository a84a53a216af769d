"""How well anomaly scores and maps separate what is anomalous from what is not.

Every function returns None where its measure is undefined, which is when one of the two classes is missing.
Image measures are scikit-learn's; AUPRO follows Bergmann et al., "MVTec AD", IJCV 2021, section 5.2.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, ndimage
from sklearn import metrics


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Returns the area under the ROC curve.

    Args:
        labels: [N], 0 normal, 1 anomalous.
        scores: [N] finite, higher means more anomalous.

    Raises:
        ValueError: the shapes differ, a label is neither 0 nor 1, or a score is not finite.
    """
    truth, values = _flat_pair(labels, scores)
    return float(metrics.roc_auc_score(truth, values)) if _has_both(truth) else None


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Returns the average precision with the anomalous images as positives; arguments as `image_auroc`."""
    truth, values = _flat_pair(labels, scores)
    return float(metrics.average_precision_score(truth, values)) if _has_both(truth) else None


def f1_max(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Returns the best F1 over all thresholds, anomalous as positive; arguments as `image_auroc`."""
    truth, values = _flat_pair(labels, scores)
    if not _has_both(truth):
        return None
    precision, recall, _ = metrics.precision_recall_curve(truth, values)
    total = precision + recall
    # Both are 0 above the highest anomalous score, when a normal image scores higher still.
    return float(np.max(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)))


def pixel_auroc(masks: ArrayLike, maps: ArrayLike) -> float | None:
    """Returns the area under the ROC curve over all pixels of all images.

    Args:
        masks: [N, H, W], 0 for a sound pixel, 1 for a defective one.
        maps: [N, H, W] finite, higher means more anomalous.

    Raises:
        ValueError: the shapes differ, a mask holds anything but 0 and 1, or a score is not finite.
    """
    return image_auroc(masks, maps)


def aupro(masks: ArrayLike, maps: ArrayLike, max_fpr: float = 0.3) -> float | None:
    """Returns the area under the per-region overlap curve, up to a false-positive rate, divided by it.

    For each threshold, the overlap is the share of a defect that lies above it, averaged over all connected
    regions (8 neighbours) of all masks, so that a small defect counts as much as a large one. The
    false-positive rate is the share of all sound pixels above the threshold. Between thresholds the curve
    is linear, as is its value at `max_fpr`.

    Args:
        masks: [N, H, W], 0 for a sound pixel, 1 for a defective one.
        maps: [N, H, W] finite, higher means more anomalous.
        max_fpr: Where the integral ends, in (0, 1].

    Returns:
        A value from 0 to 1, or None without any defective or any sound pixel.

    Raises:
        ValueError: the shapes differ, a mask holds anything but 0 and 1, a score is not finite, or
            `max_fpr` is out of range.
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr must be above 0 and at most 1; received {max_fpr}")
    if np.ndim(masks) != 3:
        raise ValueError(f"masks must have the shape [N, H, W]; received {np.shape(masks)}")
    truth, values = _flat_pair(masks, maps)
    if not _has_both(truth):
        return None
    overlap_weights = _overlap_weights(truth.reshape(np.shape(masks))).ravel()
    fpr, overlap = _overlap_curve(truth, values, overlap_weights)
    return _area_up_to(fpr, overlap, max_fpr) / max_fpr


def _flat_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    truth, values = np.asarray(labels), np.asarray(scores)
    if truth.shape != values.shape:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must have the same shape")
    positive = truth == 1
    if not np.all(positive | (truth == 0)):
        raise ValueError("labels must be 0 or 1")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"scores must be finite; {np.count_nonzero(~np.isfinite(values))} are not")
    return positive.ravel(), values.ravel()


def _has_both(truth: NDArray[np.bool_]) -> bool:
    return bool(truth.any() and not truth.all())


def _overlap_weights(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns what each pixel adds to the mean overlap: 1 / (size of its region x number of regions)."""
    within_image = np.zeros((3, 3, 3), dtype=bool)
    within_image[1] = True
    regions, count = ndimage.label(masks, structure=within_image)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    weights = np.zeros(count + 1)
    weights[1:] = 1.0 / (sizes[1:] * count)
    return weights[regions]


def _overlap_curve(
    truth: NDArray[np.bool_], values: NDArray[np.floating], overlap_weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns false-positive rate and mean overlap, one point per distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(values)[::-1]
    # Pixels of equal score pass the threshold together: only the last of them is a point of the curve.
    sorted_values = values[order]
    is_last = np.append(sorted_values[1:] != sorted_values[:-1], True)
    false_positives = np.cumsum(~truth[order])[is_last]
    overlap = np.cumsum(overlap_weights[order])[is_last]
    fpr = false_positives / false_positives[-1]
    return np.append(0.0, fpr), np.append(0.0, overlap)


def _area_up_to(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Integrates the piecewise linear curve from 0 to `limit`; `x` may repeat, where the curve jumps."""
    inside = int(np.searchsorted(x, limit, side="right"))
    if inside < len(x):
        share = (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
        y_at_limit = y[inside - 1] + share * (y[inside] - y[inside - 1])
        x, y = np.append(x[:inside], limit), np.append(y[:inside], y_at_limit)
    return float(integrate.trapezoid(y, x))
