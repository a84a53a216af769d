"""Whether two pyramids hold the same images, and where they differ."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from proganomaly.components.errors import UserError
from proganomaly.components.records.pyramid_folder import has_splits, read_pyramid_info, split_folder
from proganomaly.components.records.pyramid_labels import read_labels
from proganomaly.components.records.pyramid_record import (
    find_levels,
    level_name,
    read_pixels,
    read_records,
    single_file_prefix,
)

_Levels = dict[int, list[str]]


@dataclasses.dataclass(frozen=True)
class LevelComparison:
    """One level of two pyramids, or their classes.

    Attributes:
        name: The level's name, such as "r05", behind the split's if there are splits; "labels" for classes.
        images: Number of images in each of the two; 0 where one lacks the level.
        difference: What differs, in words; "" if they hold the same images.
        note: What is worth knowing of equal ones, such as another order.
    """

    name: str
    images: tuple[int, int]
    difference: str = ""
    note: str = ""


def compare_pyramids(first: str, second: str) -> list[LevelComparison]:
    """Compares the images of two pyramid folders, level by level, whatever their order and their files.

    Args:
        first: A folder as `find_levels` knows it, or one with splits.
        second: Another.

    Raises:
        UserError: one of them is no pyramid, or damaged.
    """
    ones, others = _parts(first), _parts(second)
    compared: list[LevelComparison] = []
    for split in sorted({*ones, *others}):
        one, other = ones.get(split, {}), others.get(split, {})
        for resolution in sorted({*one, *other}):
            name = f"{split}/{level_name(resolution)}" if split else level_name(resolution)
            compared.append(_compare_level(name, one.get(resolution, []), other.get(resolution, [])))
    labels = _compare_labels((first, ones), (second, others))
    return [*compared, labels] if labels else compared


def _parts(folder: str) -> dict[str, _Levels]:
    """Returns split -> levels; the split of a folder without splits is ""."""
    if not has_splits(folder):
        return {"": find_levels(folder)}
    images = read_pyramid_info(folder).images
    return {split: find_levels(split_folder(folder, split)) for split, count in images.items() if count}


def _compare_level(name: str, first: list[str], second: list[str]) -> LevelComparison:
    ones, others = (_digests(files) for files in (first, second))
    counts = len(ones), len(others)
    if not ones or not others:
        return LevelComparison(name, counts, f"only {'the second' if not ones else 'the first'} has it")
    if ones == others:
        return LevelComparison(name, counts)
    only_first = collections.Counter(ones) - collections.Counter(others)
    only_second = collections.Counter(others) - collections.Counter(ones)
    if not only_first and not only_second:
        return LevelComparison(name, counts, note="in another order")
    told = [f"{only_first.total()} images only in the first, {only_second.total()} only in the second"]
    number = next((i for i, (a, b) in enumerate(zip(ones, others, strict=False)) if a != b), min(counts))
    told.append(f"the first difference is image {number} (from 0)")
    if len(ones) == len(others):
        told.append(_pixel_difference(first, second))
    return LevelComparison(name, counts, "; ".join(told))


def _digests(files: list[str]) -> list[bytes]:
    """Returns the hash of every image, in the order of the files."""
    return [hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest() for image in _images(files)]


def _images(files: list[str]) -> Iterator[np.ndarray]:
    """Yields the images of a level, uint8 [channels, height, width]."""
    for path in files:
        for record in read_records(path):
            try:
                yield read_pixels(record)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error


def _pixel_difference(first: list[str], second: list[str]) -> str:
    """Says how far images differ that are as many, taken in their order."""
    differing = largest = 0
    for one, other in zip(_images(first), _images(second), strict=True):
        if one.shape != other.shape:
            return f"shapes differ: {one.shape} and {other.shape} (channels, height, width)"
        difference = int(np.abs(one.astype(np.int16) - other).max())
        differing += difference > 0
        largest = max(largest, difference)
    return f"in their order {differing} differ, by at most {largest} of 255"


def _compare_labels(
    first: tuple[str, dict[str, _Levels]], second: tuple[str, dict[str, _Levels]]
) -> LevelComparison | None:
    """Compares the classes of two pyramids; None where neither has any."""
    ones, others = _labels(*first), _labels(*second)
    if ones is None and others is None:
        return None
    counts = (0 if ones is None else len(ones), 0 if others is None else len(others))
    if ones is None or others is None:
        return LevelComparison(
            "labels", counts, f"only {'the second' if ones is None else 'the first'} has them"
        )
    if ones.shape != others.shape:
        return LevelComparison("labels", counts, f"shapes differ: {ones.shape} and {others.shape}")
    rows = np.flatnonzero((ones != others).any(axis=1))
    if len(rows):
        return LevelComparison(
            "labels", counts, f"{len(rows)} rows differ, the first is row {rows[0]} (from 0)"
        )
    return LevelComparison("labels", counts)


def _labels(folder: str, parts: dict[str, _Levels]) -> np.ndarray | None:
    prefix = single_file_prefix(folder, parts[""]) if "" in parts else None
    return None if prefix is None else read_labels(prefix)
