"""The images that are shown beside an alarm: the strangest new ones, and usual ones of the reference."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from proganomaly.components.data_validation.drift import Drift, Sides
from proganomaly.components.images.decode import decode_native
from proganomaly.components.images.display import displayable
from proganomaly.components.images.near_identical import from_text
from proganomaly.components.images.tiling import source_name
from proganomaly.components.records.image_example import ImageRecord
from proganomaly.components.records.image_index import IndexEntry

SIDE = 96


def choose(drift: Drift, number: int) -> tuple[list[IndexEntry], list[IndexEntry]]:
    """Chooses the new images that are farthest from the reference in what alarmed, and usual reference ones.

    Args:
        drift: With sides, and an alarm.
        number: Of images to choose, of each.
    """
    assert drift.sides is not None
    new, reference = _oddness(drift.sides, drift.alarming)
    farthest = np.argsort(-new, kind="stable")[:number]
    usual = np.argsort(reference, kind="stable")[:number]
    return [drift.sides.new[i] for i in farthest], [drift.sides.reference[i] for i in usual]


def _oddness(sides: Sides, names: Sequence[str]) -> tuple[NDArray, NDArray]:
    """Returns how odd each new and each reference image is: distances from the reference, summed up."""
    new, reference = np.zeros(len(sides.new)), np.zeros(len(sides.reference))
    for name in names:
        before, after = sides.reference_columns[name], sides.new_columns[name]
        if before.dtype.kind == "U":
            # Copies that were left out stand at the end of these values, and are not shown.
            for values, odd in ((before, reference), (after, new)):
                odd += [1 - (before == value).mean() for value in values[: len(odd)]]
        else:
            middle, spread = np.median(before), before.std() or 1.0
            for values, odd in ((before, reference), (after, new)):
                odd += np.abs(values - middle) / spread
    return new, reference


def draw(entries: Sequence[IndexEntry], records: Iterable[ImageRecord]) -> list[bytes]:
    """Draws images, at most 96 pixels wide and high, as PNG.

    Args:
        entries: What to draw.
        records: Read until all are found. Of an image that is not among them the thumbnail is drawn.
    """
    missing = {entry.path for entry in entries}
    found: dict[str, bytes] = {}
    for record in records if missing else ():
        # Of an image that was cut the first tile is shown.
        for path in missing & {record.filename, source_name(record.filename)}:
            found[path] = _small(decode_native(tf.constant(record.image), channels=3).numpy())
            missing.remove(path)
        if not missing:
            break
    return [found.get(entry.path) or _enlarged(entry) for entry in entries]


def _small(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(displayable(pixels))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return _as_png(image)


def _enlarged(entry: IndexEntry) -> bytes:
    image = Image.fromarray(from_text(entry.thumbnail))
    return _as_png(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
