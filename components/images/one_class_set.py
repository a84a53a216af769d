"""Labelled images as a one-class data set: one class is normal, all others are anomalies.

Reads the idx files of MNIST and its relatives (LeCun et al. 1998), plain or gzipped.
"""

import dataclasses
import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import UserError, check_range

_GZIP_MAGIC = b"\x1f\x8b"
# Two zero bytes, the type (8: unsigned byte), the number of dimensions.
_UNSIGNED_BYTES = b"\x00\x00\x08"
GOOD = "good"

# uint8 image [height, width] or [height, width, channels], and the name or number of its class.
LabelledImage = tuple[np.ndarray, object]


@dataclasses.dataclass(frozen=True)
class OneClassSettings:
    """What `one_class_images` makes.

    Attributes:
        images: idx file of images, uint8 [N, height, width].
        labels: idx file of their classes, uint8 [N].
        normal: The class that is normal.
        test_images: idx file of test images; without one a share of `images` is for testing.
        test_labels: idx file of their classes.
        test_share: The share of `images` that is for testing, by a hash of the content.
        train_limit: At most so many normal training images; 0 for all.
        test_limit: At most so many test images per class; 0 for all.
    """

    images: str
    labels: str
    normal: int
    test_images: str | None = None
    test_labels: str | None = None
    test_share: float = 0.2
    train_limit: int = 0
    test_limit: int = 0

    def __post_init__(self) -> None:
        check_range("normal", self.normal, minimum=0, maximum=255)
        check_range("test share", self.test_share, minimum=0, maximum=1, exclusive=True)
        check_range("train limit", self.train_limit, minimum=0)
        check_range("test limit", self.test_limit, minimum=0)
        if (self.test_images is None) != (self.test_labels is None):
            raise UserError("test images and test labels go together; received only one of them")


def one_class_images(settings: OneClassSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Lays the images out: `train/good`, `test/good` and `test/class-<number>`.

    Yields:
        Path relative to the data set's root, named by the image's place in its file; uint8 [height, width].

    Raises:
        UserError: a file is missing or no such idx file, labels and images differ in number, or no image is
            of the normal class.
    """
    images, labels = _read_labelled(settings.images, settings.labels)
    if not np.any(labels == settings.normal):
        found = ", ".join(str(label) for label in np.unique(labels))
        raise UserError(f"{settings.labels} has no image of class {settings.normal}; its classes are {found}")
    test = None
    if settings.test_images is not None and settings.test_labels is not None:
        test = list(zip(*_read_labelled(settings.test_images, settings.test_labels), strict=True))
    yield from lay_out(
        list(zip(images, labels, strict=True)),
        test,
        settings.normal,
        settings.test_share,
        settings.train_limit,
        settings.test_limit,
    )


def lay_out(
    train: Iterable[LabelledImage],
    test: Iterable[LabelledImage] | None,
    normal: object,
    test_share: float,
    train_limit: int,
    test_limit: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """Lays labelled images out: `train/good`, `test/good` and `test/class-<name>`.

    Args:
        train: Images with the name or number of their class; gone through twice where `test` is None.
        test: Test images; None takes a share of `train` for testing.
        normal: The class that is normal.
        test_share: That share, in (0, 1), by a hash of the content: duplicates stay together.
        train_limit: At most so many normal training images; 0 for all.
        test_limit: At most so many test images per class; 0 for all.

    Yields:
        Path relative to the data set's root, named by the image's place in `train` or `test`; the image.

    Raises:
        UserError: no image is of the normal class, or none of them is left to train on.
    """
    found = taken = 0
    for number, (image, label) in enumerate(train):
        if label != normal:
            continue
        found += 1
        if test is None and _share(image) < test_share:
            continue
        taken += 1
        yield f"train/{GOOD}/{number:05d}.png", image
        if taken == train_limit:
            break
    if not found:
        raise UserError(f"no image is of class {normal}, which shall be normal")
    if not taken:
        raise UserError(f"the test share {test_share} leaves no image of class {normal} to train on")
    tested: Counter[object] = Counter()
    for number, (image, label) in enumerate(train if test is None else test):
        if (test_limit and tested[label] >= test_limit) or (test is None and _share(image) >= test_share):
            continue
        tested[label] += 1
        folder = GOOD if label == normal else "class-" + re.sub(r"[^\w.+-]+", "-", str(label)).strip("-.")
        yield f"test/{folder}/{number:05d}.png", image


def read_idx(path: str, dimensions: int) -> np.ndarray:
    """Reads an idx file of unsigned bytes, plain or gzipped.

    Args:
        path: The file.
        dimensions: How many dimensions its content must have: 3 for grey images, 1 for labels.

    Raises:
        UserError: it is missing, no such file, or not as long as its header says.
    """
    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        raise UserError(f"{path} does not exist or is no file")
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise UserError(f"{path} is a damaged gzip file: {error}") from error
    start = 4 + 4 * dimensions
    if content[:4] != _UNSIGNED_BYTES + bytes([dimensions]) or len(content) < start:
        raise UserError(f"{path} is no idx file of unsigned bytes with {dimensions} dimensions")
    shape = np.frombuffer(content[4:start], ">u4").astype(int)
    if len(content) - start != np.prod(shape):
        raise UserError(
            f"{path} is damaged: its header says {np.prod(shape)} bytes, it has {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_labelled(images_path: str, labels_path: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise UserError(f"{images_path} has {len(images)} images but {labels_path} has {len(labels)} labels")
    return images, labels


def _share(image: np.ndarray) -> float:
    """Returns a number in [0, 1) that depends on the content alone: duplicates stay together."""
    digest = hashlib.sha256(image.tobytes()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
