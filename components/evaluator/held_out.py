"""The images that a model is measured on, with what is known of them."""

import dataclasses
import hashlib
import heapq
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator.scratch import scratch_array
from proganomaly.components.evaluator.settings import EvaluatorSettings
from proganomaly.components.evaluator.synthetic import with_synthetic_defects
from proganomaly.components.images.decode import decode_images, decode_mask
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL, UNKNOWN, ImageRecord

TEST, CALIBRATION, TRAIN = "test", "calibration", "train"
LABELLED, SYNTHETIC, NONE = "labelled", "synthetic", "none"
# Most pixel values that the baselines hold in memory at a time, as float32: 1 GiB.
_MAX_VALUES = 2**28
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class Data:
    """The images of all splits.

    Attributes:
        read: Reads the images of a split that there is.
        splits: The splits that there are.
        spec: What the networks see.
    """

    read: Callable[[str], Iterable[ImageRecord]]
    splits: Collection[str]
    spec: ImageSpec

    def records(self, split: str) -> Iterable[ImageRecord]:
        """Reads a split, if there is one; the images of `calibration` are normal by definition."""
        for record in self.read(split) if split in self.splits else ():
            is_normal = split == CALIBRATION and record.label is None
            yield dataclasses.replace(record, label=NORMAL, defect_type=GOOD) if is_normal else record


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The images that a model is measured on.

    Attributes:
        split: Where they come from: "test", or "calibration" where there is no test split.
        normals: The split of the normal ones, and of those with synthetic defects; the threshold was
            fitted on those of "calibration".
        anomalies: Where the anomalies come from: "labelled", "synthetic" or "none".
        records: The images, at least one.
    """

    split: str
    normals: str
    anomalies: str
    records: list[ImageRecord]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of N images.

    Attributes:
        labels: int [N], 0 normal, 1 anomalous, -1 unknown.
        masks: uint8 [N, R, R], 1 where defective; all 0 where no mask is known. In a temporary file: see
            `scratch`.
        has_pixels: bool [N], whether every pixel's truth is known: of a normal image, or one with a mask.
    """

    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]
    has_pixels: NDArray[np.bool_]


def collect(data: Data, settings: EvaluatorSettings) -> HeldOut:
    """Returns what there is to measure on: the split `test`, or, without one, the images of `calibration`.

    Where no anomaly is labelled, synthetic defects take their place, if the settings say so: on normal images
    of `test`, or, where there are none, of `calibration`.

    Raises:
        UserError: there is no such split, or it is empty.
    """
    split = TEST if TEST in data.splits else CALIBRATION
    if split not in data.splits:
        raise UserError(
            f"the evaluator needs a split named {TEST} or {CALIBRATION}; the data has "
            f"{', '.join(data.splits) or 'none'}"
        )
    records = list(data.records(split))
    if not records:
        raise UserError(f"the split {split} holds no images to measure the model on")
    if any(record.label == ANOMALOUS for record in records):
        return HeldOut(split, split, LABELLED, records)
    if settings.synthetic == "auto":
        normals, chosen = split, [record for record in records if record.label == NORMAL]
        if not chosen:
            normals, chosen = CALIBRATION, list(data.records(CALIBRATION))
        seed, per_kind = settings.synthetic_seed, settings.synthetic_per_kind
        chosen = with_synthetic_defects(chosen, data.spec, per_kind, seed)
        if any(record.label == ANOMALOUS for record in chosen):
            unknown = [record for record in records if record.label != NORMAL]
            return HeldOut(split, normals, SYNTHETIC, chosen + unknown)
    return HeldOut(split, split, NONE, records)


def read_truth(records: Sequence[ImageRecord], spec: ImageSpec) -> Truth:
    """Collects labels and masks of images, at least one."""
    labels = np.array([UNKNOWN if record.label is None else record.label for record in records], np.int64)
    masks = scratch_array((len(records), spec.resolution, spec.resolution), np.uint8)
    for row, record in enumerate(records):
        if record.mask is not None:
            masks[row] = decode_mask(tf.constant(record.mask), spec).numpy()[:, :, 0]
    has_mask = np.array([record.mask is not None for record in records], bool)
    return Truth(labels, masks, (labels == NORMAL) | ((labels == ANOMALOUS) & has_mask))


def sample(records: Iterable[ImageRecord], limit: int) -> list[ImageRecord]:
    """Chooses at most `limit` images, the same ones in every run."""
    return heapq.nsmallest(limit, records, key=lambda record: _place(record.filename))


def sample_images(records: Iterable[ImageRecord], spec: ImageSpec, limit: int) -> NDArray[np.uint8]:
    """Decodes at most `limit` images, the same ones in every run, and no more than memory should hold.

    Returns:
        uint8 [N, R, R, C].
    """
    limit = min(limit, max(2, _MAX_VALUES // (spec.resolution**2 * spec.channels)))
    return decode_records(sample(records, limit), spec)


def decode_records(records: Sequence[ImageRecord], spec: ImageSpec) -> NDArray[np.uint8]:
    """Returns the images as the networks see them, uint8 [N, R, R, C], in a temporary file."""
    images = scratch_array((len(records), spec.resolution, spec.resolution, spec.channels), np.uint8)
    for start in range(0, len(records), _CHUNK):
        encoded = [record.image for record in records[start : start + _CHUNK]]
        images[start : start + _CHUNK] = decode_images(tf.constant(encoded), spec).numpy()
    return images


def _place(filename: str) -> bytes:
    return hashlib.sha256(filename.encode("utf-8")).digest()
