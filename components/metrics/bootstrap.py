"""How far a measure could be off, as another draw of test images would have it.

Percentile intervals of the stratified bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 13): normal and anomalous images are redrawn apart, so that their numbers stay. A measure that
is perfect on the images at hand is so on every redraw of them: its interval has no width.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from proganomaly.components.metrics import curves
from proganomaly.components.metrics.curves import Curve, Measure

Interval = tuple[float, float]

# Images redrawn at a time: what bounds memory, to a few tens of MiB.
_CHUNK = 2**20


def intervals(
    measures: Mapping[str, Measure],
    labels: ArrayLike,
    scores: ArrayLike,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns the interval of each measure, all from the same resamples.

    Args:
        measures: Name -> measure, as in `curves`.
        labels: [N], 0 normal, 1 anomalous.
        scores: [N] finite, higher means more anomalous.
        resamples: How often the images are redrawn.
        confidence: Share of the resamples that lie within, in (0, 1).
        seed: Equal seeds make equal intervals.

    Returns:
        Name -> (low, high); nothing where either class is missing.

    Raises:
        ValueError: as `curves.curve_of`.
    """
    if not curves.curve_of(labels, scores).has_both:
        return {}
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in measures}
    for (curve,) in _resampled(labels, [scores], resamples, seed):
        for name, measure in measures.items():
            values[name].append(measure(curve))
    return {name: _percentiles(np.concatenate(parts), confidence) for name, parts in values.items()}


def interval(
    measure: Measure,
    labels: ArrayLike,
    scores: ArrayLike,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Returns the interval of one measure, or None where it is undefined; arguments as `intervals`."""
    return intervals({"": measure}, labels, scores, resamples, confidence, seed).get("")


def paired_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    other_scores: ArrayLike,
    measure: Measure = curves.auroc,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Returns the interval of by how much one detector's measure exceeds another's on the same images.

    Both are measured on the same redraws. What makes an image hard for both cancels out: two detectors whose
    own intervals overlap can differ clearly. Arguments as `intervals`; the scales may differ.
    """
    if not curves.curve_of(labels, scores).has_both:
        return None
    differences = [
        measure(own) - measure(other)
        for own, other in _resampled(labels, [scores, other_scores], resamples, seed)
    ]
    return _percentiles(np.concatenate(differences), confidence)


def share_interval(flags: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """Returns the interval of a share of images, such as the recall at a threshold.

    How many of n redrawn images are flagged is a binomial number: its percentiles need no drawing.

    Args:
        flags: bool [N].
        confidence: As in `intervals`.
    """
    flagged = np.asarray(flags, bool)
    if not flagged.size:
        return None
    low, high = stats.binom.ppf(_tails(confidence), flagged.size, flagged.mean()) / flagged.size
    return float(low), float(high)


def _resampled(
    labels: ArrayLike, detectors: Sequence[ArrayLike], resamples: int, seed: int
) -> Iterator[tuple[Curve, ...]]:
    """Yields the curves [some resamples, K] of each detector on the same redraws.

    Scores are sorted once: a redraw changes how many images stand at each of them.
    """
    pairs = [curves.checked_pair(labels, scores) for scores in detectors]
    places = [curves.falling_places(values) for _, values in pairs]
    truth = pairs[0][0]
    strata = (np.flatnonzero(~truth), np.flatnonzero(truth))
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(truth))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = [rows_of[rng.integers(len(rows_of), size=(rows, len(rows_of)))] for rows_of in strata]
        yield tuple(
            Curve(*(_passing(place[images], distinct) for images in drawn)) for distinct, place in places
        )


def _passing(places: NDArray[np.int64], distinct: int) -> NDArray[np.int64]:
    """Returns how many of each row's images [B, N] stand at each place or before it, [B, distinct]."""
    rows = len(places)
    in_row = places + distinct * np.arange(rows)[:, None]
    counts = np.bincount(in_row.ravel(), minlength=rows * distinct)
    return counts.reshape(rows, distinct).cumsum(axis=1)


def _tails(confidence: float) -> NDArray[np.float64]:
    return np.array([(1 - confidence) / 2, (1 + confidence) / 2])


def _percentiles(values: NDArray[np.float64], confidence: float) -> Interval:
    low, high = np.quantile(values, _tails(confidence))
    return float(low), float(high)
