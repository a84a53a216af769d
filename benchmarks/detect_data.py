"""The images of a task of the detection benchmark, as `proganomaly run` would make them."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from detect_settings import FASHION, Task
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.images.geometry import fit_image, fit_mask
from proganomaly.components.images.one_class_set import read_idx
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.images.texture_set import TextureSettings, texture_images
from proganomaly.components.pyramid.level_writer import level_writer

_CALIBRATION_SHARE = 0.1
_BATCH = 64

Images = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class OneClassData:
    """Images of one normal class, uint8 [N, R, R, 1].

    Attributes:
        train: Normal training images, anomalies among them where contaminated.
        calibration: Held-out normal images, anomalies among them at the same rate.
        test: Test images.
        labels: int [N] of `test`, 1 where anomalous.
        masks: bool [N, R, R] of `test`, True where defective; None where nobody knows.
    """

    train: Images
    calibration: Images
    test: Images
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_] | None

    def write_pyramid(self, folder: str) -> None:
        """Writes the training images as the trainer reads them, `<folder>/rNN/images`."""
        with level_writer(lambda level: f"{folder}/{level}/images") as write:
            for image in self.train:
                write(image)


def batches(images: Images, size: int = _BATCH) -> Iterator[Images]:
    """Yields images in order, `size` at a time."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def load(task: Task, fashion_folder: str) -> OneClassData:
    """Returns the images of a task.

    Raises:
        UserError: Fashion-MNIST is not in `fashion_folder`, or the task contaminates a texture.
    """
    if task.dataset == FASHION:
        return _fashion(task, fashion_folder)
    if task.contamination:
        raise UserError(f"contamination of a texture must be 0; received {task.contamination:g}")
    return _texture(task)


def _fashion(task: Task, folder: str) -> OneClassData:
    """One class of 6,000 of which a tenth, by a hash of the content, is for calibration; all test images."""
    images, labels = _idx(folder, "train")
    test, test_labels = _idx(folder, "t10k")
    normal_class = int(task.normal_class)
    normal, others = images[labels == normal_class], images[labels != normal_class]
    if task.limit:
        normal = normal[: task.limit]
        some = np.linspace(0, len(test) - 1, 2 * task.limit).astype(int)
        test, test_labels = test[some], test_labels[some]
    is_held_out = np.array([_hash_share(image) < _CALIBRATION_SHARE for image in normal])
    splits = normal[~is_held_out], normal[is_held_out]
    train, calibration = _contaminated(splits, others, task.contamination, task.seed)
    return OneClassData(
        _fitted(train, task.spec),
        _fitted(calibration, task.spec),
        _fitted(test, task.spec),
        (test_labels != normal_class).astype(np.int64),
        masks=None,
    )


def _idx(folder: str, split: str) -> tuple[Images, Images]:
    return (
        read_idx(f"{folder}/{split}-images-idx3-ubyte.gz", 3),
        read_idx(f"{folder}/{split}-labels-idx1-ubyte.gz", 1),
    )


def _hash_share(image: Images) -> float:
    """Returns a number in [0, 1) that depends on the content alone: duplicates stay together."""
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big") / 2**64


def _contaminated(splits: tuple[Images, ...], others: Images, share: float, seed: int) -> list[Images]:
    """Adds anomalies to each split until they are `share` of it, no image twice, in random order."""
    random = np.random.default_rng(seed)
    strangers = iter(random.permutation(len(others)))
    result = []
    for split in splits:
        number = round(len(split) * share / (1 - share))
        mixed = np.concatenate([split, others[[next(strangers) for _ in range(number)]]]) if number else split
        result.append(mixed[random.permutation(len(mixed))])
    return result


def _texture(task: Task) -> OneClassData:
    """Crops of 128 px, made smaller where the task's resolution is: the same surface, seen less sharply."""
    sizes = {"crop_size": max(128, task.spec.resolution)}
    if task.limit:
        sizes |= {"train_images": 16, "calibration_images": 8, "test_good_images": 4, "images_per_defect": 2}
    settings = TextureSettings(texture=task.normal_class, seed=task.seed, **sizes)
    images: dict[str, list[Images]] = {"train": [], "calibration": [], "test": []}
    masks: list[Images] = []
    labels = []
    for path, image in texture_images(settings):
        split, kind, _ = path.split("/")
        if split == "ground_truth":
            masks[-1] = image
            continue
        images[split].append(image)
        if split == "test":
            labels.append(int(kind != "good"))
            masks.append(np.zeros_like(image))
    train, calibration, test = (_fitted(np.stack(images[split]), task.spec) for split in images)
    fitted_masks = _mapped(np.stack(masks), lambda mask: fit_mask(mask, task.spec))[..., 0] > 0
    return OneClassData(train, calibration, test, np.array(labels), fitted_masks)


def _fitted(images: Images, spec: ImageSpec) -> Images:
    return _mapped(images, lambda image: fit_image(image, spec))


def _mapped(images: Images, function: Callable[[tf.Tensor], tf.Tensor]) -> Images:
    """Applies `function` to each image [H, W, 1] of [N, H, W], whose size it must not know beforehand."""
    any_size = tf.TensorSpec([None, None, 1], tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: images[..., None], output_signature=any_size)
    return np.concatenate(list(dataset.map(function).batch(_BATCH).as_numpy_iterator()))
