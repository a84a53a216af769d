"""The images that a model is measured on, with what is known of them."""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.images.decode import decode_images, decode_mask
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL, UNKNOWN, ImageRecord

TEST, CALIBRATION, TRAIN = "test", "calibration", "train"
# Most pixel values that the baselines hold in memory at a time, as float32: 1 GiB.
_MAX_VALUES = 2**28


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of N images.

    Attributes:
        labels: int [N], 0 normal, 1 anomalous, -1 unknown.
        masks: uint8 [N, R, R], 1 where defective; all 0 where no mask is known.
        has_pixels: bool [N], whether every pixel's truth is known: of a normal image, or one with a mask.
    """

    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]
    has_pixels: NDArray[np.bool_]


def choose_split(splits: Iterable[str]) -> str:
    """Returns the split to measure on: `test` where there is one, else the normal images of `calibration`."""
    return TEST if TEST in splits else CALIBRATION


def read_truth(records: Sequence[ImageRecord], split: str, spec: ImageSpec) -> Truth:
    """Collects labels and masks; an image of `calibration` is normal by definition."""
    default = NORMAL if split == CALIBRATION else UNKNOWN
    labels = np.array([default if record.label is None else record.label for record in records], np.int64)
    masks = np.zeros((len(records), spec.resolution, spec.resolution), np.uint8)
    for row, record in enumerate(records):
        if record.mask is not None:
            masks[row] = decode_mask(tf.constant(record.mask), spec).numpy()[:, :, 0]
    has_mask = np.array([record.mask is not None for record in records], bool)
    return Truth(labels, masks, (labels == NORMAL) | ((labels == ANOMALOUS) & has_mask))


def sample_images(records: Iterable[ImageRecord], spec: ImageSpec, limit: int) -> NDArray[np.uint8]:
    """Decodes at most `limit` images, the same ones in every run, and no more than memory should hold.

    Returns:
        uint8 [N, R, R, C].
    """
    limit = min(limit, max(2, _MAX_VALUES // (spec.resolution**2 * spec.channels)))
    chosen = heapq.nsmallest(limit, records, key=lambda record: _place(record.filename))
    return decode_records(chosen, spec)


def decode_records(records: Sequence[ImageRecord], spec: ImageSpec) -> NDArray[np.uint8]:
    """Returns the images as the networks see them, uint8 [N, R, R, C]."""
    return decode_images(tf.constant([record.image for record in records], tf.string), spec).numpy()


def _place(filename: str) -> bytes:
    return hashlib.sha256(filename.encode("utf-8")).digest()
