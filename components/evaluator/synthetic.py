"""Synthetic defects on held-out normal images, where no labelled anomaly is at hand to measure a model on.

They say whether a model sees local damage of the five kinds that `images.defects` draws. What real anomalies
look like they do not know: whatever is measured on them is called synthetic wherever it is told.
"""

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from proganomaly.components.images import defects
from proganomaly.components.images.decode import decode_image
from proganomaly.components.images.features import measure
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ANOMALOUS, ImageRecord

PREFIX = "synthetic-"
_KINDS: dict[str, Callable[[defects.Float, np.random.Generator], tuple[defects.Float, defects.Mask]]] = {
    "blend": defects.perlin_blend,
    "cut": defects.cut,
    "cutpaste": defects.cut_paste,
    "scratch": defects.scratch,
    "stain": defects.stain,
}
# On a surface without any contrast a moved patch is nothing: so often another place is tried.
_ATTEMPTS = 8
# Grey levels by which a pixel must change for the defect to be there at all.
_LEAST_CHANGE = 4
_ALPHA = 3


def with_synthetic_defects(
    normals: Sequence[ImageRecord], spec: ImageSpec, per_kind: int, seed: int
) -> list[ImageRecord]:
    """Gives some of the images defects, at most half of them, and leaves the others as they are.

    No image is there both with and without a defect, or a detector that knows the scene would look better, or
    worse, than it is. Which images are chosen depends on their names and on the seed alone. Where there are
    enough, each carries one defect; otherwise an image comes in several versions, of different kinds.

    Args:
        normals: Held-out normal images.
        spec: What the networks see: defects are drawn at that size, with exact masks.
        per_kind: Defective images of each kind, at most.
        seed: Equal seeds make equal images.

    Returns:
        The normal images that are left, in their order, then the defective ones; all normal images alone
        where there are fewer than two, or where none takes a defect.
    """
    shuffled = sorted(range(len(normals)), key=lambda row: _digest(seed, normals[row].filename))
    chosen = shuffled[: min(len(normals) // 2, per_kind * len(_KINDS))]
    number = min(per_kind, len(chosen))
    made: list[ImageRecord] = []
    for place, kind in enumerate(_KINDS):
        rows = [chosen[(place * number + index) % len(chosen)] for index in range(number)]
        made.extend(_defective([normals[row] for row in rows], kind, spec, seed))
    taken = set(chosen) if made else set()
    return [record for row, record in enumerate(normals) if row not in taken] + made


def _defective(
    sources: Sequence[ImageRecord], kind: str, spec: ImageSpec, seed: int
) -> Iterator[ImageRecord]:
    """Draws one kind of defect onto each image that takes it."""
    for source in sources:
        image = decode_image(tf.constant(source.image), spec).numpy()
        rng = np.random.default_rng(list(_digest(seed, f"{kind}/{source.filename}")))
        for _ in range(_ATTEMPTS):
            damaged, mask = _damage(image, kind, rng)
            if mask.any():
                yield _record(source, kind, damaged, mask)
                break


def _damage(
    image: NDArray[np.uint8], kind: str, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draws a defect onto uint8 [R, R, C]; the mask is empty where nothing is to be seen. Alpha stays."""
    colours = image[:, :, :_ALPHA]
    drawn, mask = _KINDS[kind](colours / 255.0, rng)
    damaged = np.rint(drawn * 255).astype(np.uint8)
    change = np.abs(damaged.astype(int) - colours).max(axis=2)
    if not (change[mask] >= _LEAST_CHANGE).any():
        mask = np.zeros_like(mask)
    return np.concatenate([damaged, image[:, :, _ALPHA:]], axis=2), mask


def _record(source: ImageRecord, kind: str, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> ImageRecord:
    statistics = measure(image)
    return dataclasses.replace(
        source,
        **dataclasses.asdict(statistics),
        image=_png(image),
        filename=f"{PREFIX}{kind}/{source.filename}",
        format="png",
        height=image.shape[0],
        width=image.shape[1],
        channels=image.shape[2],
        label=ANOMALOUS,
        defect_type=f"{PREFIX}{kind}",
        mask=_png(np.where(mask, 255, 0).astype(np.uint8)[:, :, np.newaxis]),
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return file.getvalue()


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}/{text}".encode()).digest()
