"""What is new about the newest span: its normal images beside those of the spans before it."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_metadata.proto.v0 import anomalies_pb2

from proganomaly.components.data_validation.comparison import Comparison, FeatureDistance, compare
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.data_validation.statistics import as_frame
from proganomaly.components.images.near_identical import from_text, near_pairs
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL
from proganomaly.components.records.image_index import IndexEntry

NEAR_IDENTICAL = "near_identical"
_FITTED_SPLITS = ("train", "calibration")
_REPORT_BINS = 20
_YES, _NO = "yes", "no"
_TITLES = {NEAR_IDENTICAL: "near-identical images"}


@dataclasses.dataclass(frozen=True)
class Sides:
    """The normal images that are compared, and their features.

    Attributes:
        new: Images of the newest span.
        reference: Those that they are compared with.
        new_columns: By feature, a value per new image; of `near_identical` one more for each copy that was
            left out.
        reference_columns: By feature, a value per image of the reference, likewise.
    """

    new: list[IndexEntry]
    reference: list[IndexEntry]
    new_columns: dict[str, NDArray]
    reference_columns: dict[str, NDArray]


@dataclasses.dataclass(frozen=True)
class Drift:
    """What `detect` found.

    Attributes:
        summary: What `drift.json` holds: `status` ("compared" or why not), `span`, `reference_spans`,
            `images`, `reference_images`, `copies`, `false_alarm_rate`, `features`, `alarms` (one line each),
            `acknowledged`, `notes`.
        alarming: Names of the features with an alarm.
        sides: What was compared; None where there was nothing to compare with.
        anomalies: TFDV's verdict; None likewise.
    """

    summary: dict[str, Any]
    alarming: list[str]
    sides: Sides | None
    anomalies: anomalies_pb2.Anomalies | None


def detect(
    entries: Iterable[IndexEntry],
    previous: Iterable[IndexEntry],
    copies: Mapping[int, int],
    newest: int,
    settings: DriftSettings,
) -> Drift:
    """Compares the normal images of the newest span with those of the other spans.

    Args:
        entries: Of all images of the window.
        previous: Of spans that have left the window: the reference where the window has one span alone.
        copies: By span, the number of images that are left out for their pixels are there already.
        newest: The newest span; it may have no image that can be used.
        settings: When it is drift.
    """
    normal = [entry for entry in entries if _is_normal(entry)]
    newest = max([newest, *(entry.span for entry in normal)])
    new = [entry for entry in normal if entry.span == newest]
    reference = [entry for entry in normal if entry.span != newest]
    if not reference:
        reference = [entry for entry in previous if _is_normal(entry) and entry.span != newest]
    spans = sorted({entry.span for entry in reference})
    summary: dict[str, Any] = {
        "status": "compared",
        "span": newest,
        "reference_spans": spans,
        "images": len(new),
        "reference_images": len(reference),
        "copies": copies.get(newest, 0),
        "false_alarm_rate": settings.false_alarm_rate,
        "features": {},
        "alarms": [],
        "acknowledged": newest in settings.acknowledged,
        "notes": [],
    }
    if not reference:
        return Drift({**summary, "status": "there is no earlier span to compare with"}, [], None, None)
    if not new and not summary["copies"]:
        return Drift({**summary, "status": "the newest span has no normal images"}, [], None, None)
    copied = sum(copies.get(span, 0) for span in spans), summary["copies"]
    sides, notes = _sides(reference, new, copied, settings.near_identical)
    thresholds = dataclasses.asdict(settings.thresholds)
    found = compare(sides.reference_columns, sides.new_columns, thresholds, settings.false_alarm_rate)
    if not found.can_alarm:
        notes.append(
            f"{len(new)} new images and {len(reference)} to compare with are too few for any alarm at a "
            f"false-alarm rate of {settings.false_alarm_rate:g}"
        )
    summary["notes"] = notes
    summary["features"] = _describe(sides, found)
    summary["alarms"] = [_line(name, sides, one) for name, one in found.features.items() if one.alarm]
    alarming = [name for name, one in found.features.items() if one.alarm]
    return Drift(summary, alarming, sides, found.anomalies)


def _is_normal(entry: IndexEntry) -> bool:
    """Whether networks or thresholds are fitted on an image, or would be if its span were in the window."""
    if not entry.split:
        return entry.label == NORMAL
    return entry.split in _FITTED_SPLITS and entry.label != ANOMALOUS


def _sides(
    reference: list[IndexEntry], new: list[IndexEntry], copied: tuple[int, int], levels: float
) -> tuple[Sides, list[str]]:
    """Returns both sides with their features, and notes about what could not be had.

    Args:
        reference: At least one image.
        new: None, where all images of the newest span are copies.
        copied: Number of images left out as copies, of the reference and of the newest span.
        levels: See DriftSettings.near_identical.
    """
    entries, notes = reference + new, []
    frame = as_frame(entries)
    columns = {
        str(name): frame[name].to_numpy(str if frame[name].dtype == object else None) for name in frame
    }
    old_columns, new_columns = (
        {name: values[part] for name, values in columns.items()}
        for part in (slice(len(reference)), slice(len(reference), None))
    )
    if not new:
        old_columns, new_columns = {}, {}
    thumbnails = np.stack([from_text(entry.thumbnail) for entry in entries])
    pairs = near_pairs(thumbnails, thumbnails, levels)
    if pairs is None:
        notes.append("too many near-identical images to count: the scene hardly changes, which is no alarm")
    # Whether an image has such a one among all others, old or new: if all were of one source, that would not
    # depend on the span.
    has_one = np.full(len(entries), _YES if pairs is None else _NO, object)
    if pairs is not None:
        has_one[pairs[pairs[:, 0] != pairs[:, 1], 0]] = _YES
    for part, number, side in zip(
        np.split(has_one, [len(reference)]), copied, (old_columns, new_columns), strict=True
    ):
        side[NEAR_IDENTICAL] = np.array([*part, *[_YES] * number], str)
    return Sides(new, reference, new_columns, old_columns), notes


def _describe(sides: Sides, found: Comparison) -> dict[str, Any]:
    """Returns of every feature both sides and their distance."""
    return {
        name: {
            "title": _TITLES.get(name, name),
            "reference": _describe_column(sides.reference_columns[name]),
            "new": _describe_column(sides.new_columns[name]),
            **_histogram(sides.reference_columns[name], sides.new_columns[name]),
            **dataclasses.asdict(one),
        }
        for name, one in found.features.items()
    }


def _histogram(before: NDArray, after: NDArray) -> dict[str, Any]:
    """Returns the shares of both sides in common bins, for the report; of texts nothing."""
    if before.dtype.kind == "U":
        return {}
    edges = np.histogram_bin_edges(np.concatenate([before, after]), _REPORT_BINS)
    shares = {
        side: (np.histogram(values, edges)[0] / len(values)).tolist()
        for side, values in (("reference", before), ("new", after))
    }
    return {"histogram": {"edges": edges.tolist(), **shares}}


def _describe_column(values: NDArray) -> dict[str, Any]:
    """Returns mean and standard deviation of numbers, the share of each text."""
    if values.dtype.kind == "U":
        shares = collections.Counter(values.tolist())
        return {"shares": {text: count / len(values) for text, count in shares.most_common()}}
    return {"mean": float(values.mean()), "sd": float(values.std())}


def _line(name: str, sides: Sides, one: FeatureDistance) -> str:
    """Returns an alarm with its numbers."""
    before, after = sides.reference_columns[name], sides.new_columns[name]
    if name == NEAR_IDENTICAL:
        change = f"{(before == _YES).mean():.0%} -> {(after == _YES).mean():.0%}"
    elif before.dtype.kind == "U":
        shares = {text: ((before == text).mean(), (after == text).mean()) for text in np.unique(after)}
        text = max(shares, key=lambda text: shares[text][1] - shares[text][0])
        change = f"{text} {shares[text][0]:.0%} -> {shares[text][1]:.0%}"
    else:
        # A mean may stay where the spread changes.
        change = f"mean {before.mean():.3g} -> {after.mean():.3g}, sd {before.std():.2g} -> {after.std():.2g}"
    title = _TITLES.get(name, name)
    return f"{title}: {change}, Jensen-Shannon {one.distance:.2f}, threshold {one.threshold:.2f}"
