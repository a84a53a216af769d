"""Measures of detection as functions of the counts at every threshold.

One form serves three uses: the scores of images, a thousand resamples of them at once (`bootstrap`), and
pixels by the million, counted in tables (`pixels`). scikit-learn, which the tests compare with, measures one
list of scores at a time and sorts it each time: a thousand resamples take it more than twenty times as long.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A recall of 19 in 20 must reach .95 whatever the rounding.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Curve:
    """How many normal and anomalous ones pass each threshold.

    Attributes:
        false_positives: int [..., K], how many normal ones score at least as high as each of K thresholds,
            the highest first; the last threshold is passed by all.
        true_positives: int [..., K], the same of the anomalous ones.
    """

    false_positives: NDArray[np.int64]
    true_positives: NDArray[np.int64]

    @property
    def has_both(self) -> bool:
        """Whether there are normal and anomalous ones: without either no measure is defined."""
        totals = (self.false_positives[..., -1:], self.true_positives[..., -1:])
        return all(bool(total.size and total.all()) for total in totals)


# Measures return float [...], one value per curve.
Measure = Callable[[Curve], NDArray[np.float64]]


def auroc(curve: Curve) -> NDArray[np.float64]:
    """Returns the area under the ROC curve: the share of pairs in the right order, ties counted as half."""
    false, true = curve.false_positives, curve.true_positives
    # Normal ones of each threshold, times the anomalous ones above it and half of those beside it.
    pairs = np.diff(false, prepend=0, axis=-1) * (true - 0.5 * np.diff(true, prepend=0, axis=-1))
    return pairs.sum(axis=-1) / (false[..., -1] * true[..., -1].astype(np.float64))


def average_precision(curve: Curve) -> NDArray[np.float64]:
    """Returns the mean over the anomalous ones of the precision at each one's score."""
    false, true = curve.false_positives, curve.true_positives
    # A resample can have nothing at the highest thresholds.
    precision = true / np.maximum(true + false, 1)
    return (np.diff(true, prepend=0, axis=-1) * precision).sum(axis=-1) / true[..., -1]


def f1_max(curve: Curve) -> NDArray[np.float64]:
    """Returns the best F1 over all thresholds, the anomalous ones as positives."""
    false, true = curve.false_positives, curve.true_positives
    return (2 * true / (true + false + true[..., -1:])).max(axis=-1)


def fpr_at_95_tpr(curve: Curve) -> NDArray[np.float64]:
    """Returns the false-positive rate at the highest threshold that finds 95 % of the anomalous ones."""
    false, true = curve.false_positives, curve.true_positives
    finds_enough = true >= 0.95 * true[..., -1:] - _ROUNDING
    first = finds_enough.argmax(axis=-1)
    return np.take_along_axis(false, first[..., None], axis=-1)[..., 0] / false[..., -1]


def curve_of(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Counts at every distinct score.

    Args:
        labels: [N], 0 normal, 1 anomalous.
        scores: [N] finite, higher means more anomalous.

    Raises:
        ValueError: the shapes differ, a label is neither 0 nor 1, or a score is not finite.
    """
    truth, values = checked_pair(labels, scores)
    distinct, places = falling_places(values)
    return Curve(
        *(np.bincount(places[truth == kind], minlength=distinct).cumsum() for kind in (False, True)),
    )


def falling_places(values: NDArray[np.floating]) -> tuple[int, NDArray[np.int64]]:
    """Returns the number of distinct values, and each value's place among them, the highest first."""
    distinct, places = np.unique(values, return_inverse=True)
    return len(distinct), len(distinct) - 1 - places


def checked_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Returns labels as booleans and scores, both of their own shape; errors as in `curve_of`."""
    truth, values = np.asarray(labels), np.asarray(scores)
    if truth.shape != values.shape:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must have the same shape")
    positive = truth == 1
    if not np.all(positive | (truth == 0)):
        raise ValueError("labels must be 0 or 1")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"scores must be finite; {np.count_nonzero(~np.isfinite(values))} are not")
    return positive, values
