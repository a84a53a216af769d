"""Decides which split every image belongs to, so that no image stands on both sides of a split.

A stable hash decides where the folder does not: of the name of the image's group, or of the pixels of the
group's first image. So the choice is the same in every run and for every copy of an image, whatever its name
or format, and does not change when images of other groups are added.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.image_example_gen.listing import BY_HASH, CALIBRATION, TEST, TRAIN
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images import near_identical
from proganomaly.components.records.image_example import NORMAL
from proganomaly.components.records.image_index import IndexEntry

# Of copies in several splits the one stays that the measurement needs.
_KEPT_FIRST = (TEST, CALIBRATION, TRAIN, BY_HASH)
# Near-identical images beyond this share of all, and this number, are a scene that hardly changes.
_LARGEST_SHARE, _LARGEST_NUMBER = 0.05, 10


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What became of the images of all spans.

    Attributes:
        entries: The images with their splits.
        duplicates: Images whose pixels are there already, each with the path of the one that stays.
        notes: One line each for the user.
    """

    entries: list[IndexEntry]
    duplicates: list[tuple[IndexEntry, str]]
    notes: list[str]


def assign(inspected: Iterable[IndexEntry], settings: ImageExampleGenSettings) -> Assignment:
    """Gives a split to the images that have none, and tells copies from originals.

    Args:
        inspected: Images as the layouts name them: with the split that the folder gives, or "".
        settings: Shares, groups and what becomes of duplicates.
    """
    entries = sorted(inspected, key=lambda entry: (_KEPT_FIRST.index(entry.split), entry.span, entry.path))
    duplicates: list[tuple[IndexEntry, str]] = []
    if settings.duplicates == "quarantine":
        entries, duplicates = _without_copies(entries)
    entries.sort(key=lambda entry: (entry.span, entry.path))
    groups, notes = _groups(entries, settings)
    notes += _straddling(entries, groups)
    named = {(entry.split, entry.label == NORMAL) for entry in entries}
    calibration = 0.0 if (CALIBRATION, True) in named else settings.calibration_share
    test = 0.0 if (TEST, True) in named else settings.test_share
    test_ends = calibration + test
    places = _places(entries, groups)
    if calibration:
        calibration = max(calibration, _smallest_that_gives_one(entries, places))
    splits = [
        entry.split or _by_hash(entry, place, calibration, test_ends)
        for entry, place in zip(entries, places, strict=True)
    ]
    assigned = [dataclasses.replace(e, split=split) for e, split in zip(entries, splits, strict=True)]
    return Assignment(assigned, duplicates, notes)


def _without_copies(
    entries: Sequence[IndexEntry],
) -> tuple[list[IndexEntry], list[tuple[IndexEntry, str]]]:
    """Keeps the first of all entries with the same pixels."""
    first: dict[str, IndexEntry] = {}
    copies = []
    for entry in entries:
        kept = first.setdefault(entry.digest, entry)
        if kept is not entry:
            copies.append((entry, kept.path))
    return list(first.values()), copies


def _groups(
    entries: Sequence[IndexEntry], settings: ImageExampleGenSettings
) -> tuple[NDArray[np.intp], list[str]]:
    """Numbers the groups: images that share a name of a group, their pixels, or nearly so; int [N]."""
    edges = [
        _equal_pairs([entry.group for entry in entries]),
        _equal_pairs([entry.digest for entry in entries]),
    ]
    unchanging = 0
    if settings.near_identical and entries:
        thumbnails = np.stack([near_identical.from_text(entry.thumbnail) for entry in entries])
        near = near_identical.near_pairs(thumbnails, thumbnails, settings.near_identical)
        if near is None:
            unchanging = len(entries)
        else:
            alike = near_identical.components(len(entries), near)
            sizes = np.bincount(alike)[alike]
            is_unchanging = sizes > max(_LARGEST_NUMBER, _LARGEST_SHARE * len(entries))
            unchanging = np.count_nonzero(is_unchanging)
            edges.append(near[~is_unchanging[near[:, 0]]])
    notes = [
        f"{unchanging} of {len(entries)} images are at most {settings.near_identical} grey levels apart "
        "(ingest.near_identical): they show a scene that hardly changes, and their splits are chosen image "
        "by image"
    ]
    groups = near_identical.components(len(entries), np.concatenate(edges))
    return groups, notes if unchanging else []


def _equal_pairs(texts: Sequence[str]) -> NDArray[np.intp]:
    """Returns pairs of places, int [P, 2], that join all places with the same text but ""."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(text, place), place) for place, text in enumerate(texts) if text]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.intp).reshape(-1, 2)


def _straddling(entries: Sequence[IndexEntry], groups: NDArray[np.intp]) -> list[str]:
    """Says which groups the folder itself puts on both sides of a split."""
    splits = collections.defaultdict(set)
    example: dict[tuple[int, str], str] = {}
    for entry, group in zip(entries, groups.tolist(), strict=True):
        if entry.split != BY_HASH:
            splits[group].add(entry.split)
            example.setdefault((group, entry.split), entry.path)
    torn = [group for group, found in splits.items() if len(found) > 1]
    if not torn:
        return []
    one, other = sorted(splits[torn[0]])[:2]
    return [
        f"{len(torn)} groups of near-identical images stand in several splits, as the folders have them: "
        f"{example[torn[0], one]} and {example[torn[0], other]}, for instance"
    ]


def _places(entries: Sequence[IndexEntry], groups: NDArray[np.intp]) -> list[float]:
    """Returns each image's place in [0, 1), the same for a whole group."""
    first: dict[int, float] = {}
    for entry, group in zip(entries, groups.tolist(), strict=True):
        digest = hashlib.sha256(entry.group.encode()).hexdigest() if entry.group else entry.digest
        first.setdefault(group, int(digest[:16], 16) / 2**64)
    return [first[group] for group in groups.tolist()]


def _smallest_that_gives_one(entries: Sequence[IndexEntry], places: Sequence[float]) -> float:
    """Returns the share from which on one group is held out, 0 where there is only one group."""
    found = sorted({p for e, p in zip(entries, places, strict=True) if not e.split and e.label == NORMAL})
    return np.nextafter(found[0], 1.0) if len(found) > 1 else 0.0


def _by_hash(entry: IndexEntry, place: float, calibration_ends: float, test_ends: float) -> str:
    """Returns the split of an image for which the folder names none: only normal images fit anything."""
    if entry.label != NORMAL:
        return TEST
    if place < calibration_ends:
        return CALIBRATION
    return TEST if place < test_ends else TRAIN
