"""How well anomaly maps separate defective pixels from sound ones, in memory that stays bounded.

Maps come in batches and are not kept: tables count the pixels at each distinct score. They are exact up to a
million pixels, or any number of them with few distinct scores. Above that, neighbours are joined, so that all
that are joined hold at most 1 / 65,536 of their table's sound pixels, of its defective ones and of its
defects; only the order among the joined is lost. Tables are joined in pairs of equal size, as in a knock-out
contest, so that a pixel is joined at most 1 + log2(pixels / 2^20) times: for 134 million pixels the shares
above any threshold are off by at most 8 / 65,536 = .00012, whatever the scores and their order.

AUPRO follows Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, ndimage

from proganomaly.components.metrics import curves
from proganomaly.components.metrics.curves import Curve

# Pixels that are held before they are counted.
_HELD = 2**20
# Joined neighbours hold at most the inverse of this of each total, which leaves at most 6 entries per share:
# for each of three totals, one that crosses its border and one between the borders.
_SHARES = 2**16
# Nor do they hold more than 1 - 2^(-1 / 256) = .27 % of the sound pixels from there upwards, on which the
# precision of a few defective pixels with high scores depends. That leaves some thousand entries more.
_HEAD = 256

PIXEL_MEASURES = ("pixel_auroc", "pixel_average_precision", "aupro")


@dataclasses.dataclass(frozen=True)
class PixelCounts:
    """Pixels of some images by their score.

    Attributes:
        scores: float [K], rising.
        sound: float64 [K], the number of sound pixels at each.
        defective: float64 [K], the number of defective ones.
        overlap: float64 [K], the defective ones, each divided by the size of its region.
        regions: The number of connected defective regions (8 neighbours).
    """

    scores: NDArray[np.floating]
    sound: NDArray[np.float64]
    defective: NDArray[np.float64]
    overlap: NDArray[np.float64]
    regions: int

    @property
    def curve(self) -> Curve:
        """The counts of sound and of defective pixels at every threshold."""
        return Curve(self.sound[::-1].cumsum(), self.defective[::-1].cumsum())

    def measures(self) -> dict[str, float | None]:
        """Returns `PIXEL_MEASURES` by name; all None without any defective or any sound pixel."""
        curve = self.curve
        if not curve.has_both:
            return dict.fromkeys(PIXEL_MEASURES)
        return {
            "pixel_auroc": float(curves.auroc(curve)),
            "pixel_average_precision": float(curves.average_precision(curve)),
            "aupro": self.aupro(),
        }

    def aupro(self, max_fpr: float = 0.3) -> float | None:
        """Returns the area under the per-region overlap curve, up to a false-positive rate, divided by it.

        For each threshold, the overlap is the share of a defect that lies above it, averaged over all
        connected regions of all masks, so that a small defect counts as much as a large one. The
        false-positive rate is the share of all sound pixels above the threshold. Between thresholds the curve
        is linear, as is its value at `max_fpr`.

        Args:
            max_fpr: Where the integral ends, in (0, 1].

        Returns:
            A value from 0 to 1, or None without any defective or any sound pixel.

        Raises:
            ValueError: `max_fpr` is out of range.
        """
        if not 0 < max_fpr <= 1:
            raise ValueError(f"max_fpr must be above 0 and at most 1; received {max_fpr}")
        curve = self.curve
        if not curve.has_both:
            return None
        fpr = curve.false_positives / curve.false_positives[-1]
        overlap = self.overlap[::-1].cumsum() / self.regions
        return _area_up_to(np.append(0.0, fpr), np.append(0.0, overlap), max_fpr) / max_fpr


def combined(parts: Iterable[PixelCounts]) -> PixelCounts:
    """Returns the counts of all images of at least one part."""
    tables = list(parts)
    scores, places = np.unique(np.concatenate([table.scores for table in tables]), return_inverse=True)
    sound, defective, overlap = (
        _sums(places, np.concatenate(columns), len(scores))
        for columns in zip(*((table.sound, table.defective, table.overlap) for table in tables), strict=True)
    )
    return PixelCounts(scores, sound, defective, overlap, sum(table.regions for table in tables))


class PixelCounter:
    """Counts the pixels of images that come in batches."""

    def __init__(self) -> None:
        # Scores; and of each defective pixel 1 / (size of its region), 0 of each sound one.
        self._held: list[tuple[NDArray[np.floating], NDArray[np.float32]]] = []
        self._held_regions = 0
        # Tables, and how often their pixels were joined: less and less from left to right.
        self._tables: list[tuple[int, PixelCounts]] = []

    def add(self, masks: ArrayLike, maps: ArrayLike) -> None:
        """Counts the pixels of some images.

        Args:
            masks: [N, H, W], 0 for a sound pixel, 1 for a defective one.
            maps: [N, H, W] finite, higher means more anomalous.

        Raises:
            ValueError: shapes differ or are not [N, H, W], a mask holds anything but 0 and 1, or a score is
                not finite.
        """
        if np.ndim(masks) != 3:
            raise ValueError(f"masks must have the shape [N, H, W]; received {np.shape(masks)}")
        truth, values = curves.checked_pair(masks, maps)
        weights, regions = _overlap_weights(truth)
        self._held.append((values.flatten(), weights.ravel()))
        self._held_regions += regions
        if sum(len(scores) for scores, _ in self._held) >= _HELD:
            self._put_away()

    def counts(self) -> PixelCounts:
        """Returns the counts of all images so far."""
        return combined([*(table for _, table in self._tables), self._count_held()])

    def _put_away(self) -> None:
        """Makes a table of the held pixels, and one of each two that were joined as often."""
        level, table = 0, _joined(self._count_held())
        self._held, self._held_regions = [], 0
        while self._tables and self._tables[-1][0] == level:
            level, table = level + 1, _joined(combined([self._tables.pop()[1], table]))
        self._tables.append((level, table))

    def _count_held(self) -> PixelCounts:
        empty = np.zeros(0, np.float32)
        values = np.concatenate([scores for scores, _ in self._held] or [empty])
        weights = np.concatenate([weights for _, weights in self._held] or [empty])
        scores, places = np.unique(values, return_inverse=True)
        is_defective = weights > 0
        defective_places = places[is_defective]
        all_pixels = _sums(places, None, len(scores))
        defective = _sums(defective_places, None, len(scores))
        overlap = _sums(defective_places, weights[is_defective], len(scores))
        return PixelCounts(scores, all_pixels - defective, defective, overlap, self._held_regions)


def _overlap_weights(masks: NDArray[np.bool_]) -> tuple[NDArray[np.float32], int]:
    """Returns 1 / (size of its region) per defective pixel, 0 per sound one; and the number of regions."""
    within_image = np.zeros((3, 3, 3), dtype=bool)
    within_image[1] = True
    labelled, regions = ndimage.label(masks, structure=within_image)
    sizes = np.bincount(labelled.ravel(), minlength=regions + 1)
    weights = np.zeros(regions + 1, np.float32)
    weights[1:] = 1.0 / sizes[1:]
    return weights[labelled], regions


def _sums(
    places: NDArray[np.int64], weights: NDArray[np.floating] | None, number: int
) -> NDArray[np.float64]:
    """Returns the sum of the weights at each place, or how many there are."""
    return np.bincount(places, weights, minlength=number).astype(np.float64, copy=False)


def _joined(counts: PixelCounts) -> PixelCounts:
    """Joins neighbours, if there are too many entries; see the module."""
    if len(counts.scores) <= 6 * _SHARES:
        return counts
    columns = (counts.sound, counts.defective, counts.overlap)
    crosses = np.zeros(len(counts.scores), bool)
    for column in columns:
        crosses |= _crosses(column, lambda passing: passing * (_SHARES / max(passing[0], 1)))
    crosses |= _crosses(counts.sound, lambda passing: _HEAD * np.log2(1 + passing))
    # An entry that crosses a border stays alone: it may hold any part.
    starts = crosses.copy()
    starts[1:] |= crosses[:-1]
    starts[0] = True
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(starts)) - 1
    sound, defective, overlap = (np.add.reduceat(column, first) for column in columns)
    # The one in the middle stands for all: neither end is favoured.
    return PixelCounts(counts.scores[(first + last) // 2], sound, defective, overlap, counts.regions)


def _crosses(column: NDArray[np.float64], position: Callable[[NDArray], NDArray]) -> NDArray[np.bool_]:
    """Returns the entries with which the position of what passes reaches another whole number."""
    passing = np.append(column[::-1].cumsum()[::-1], 0.0)
    return np.diff(np.floor(position(passing))) < 0


def _area_up_to(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Integrates the piecewise linear curve from 0 to `limit`; `x` may repeat, where the curve jumps."""
    inside = int(np.searchsorted(x, limit, side="right"))
    if inside < len(x):
        share = (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
        y_at_limit = y[inside - 1] + share * (y[inside] - y[inside - 1])
        x, y = np.append(x[:inside], limit), np.append(y[:inside], y_at_limit)
    return float(integrate.trapezoid(y, x))
