"""What stands in an image folder: which files are images, of which split and kind, with which masks.

Two layouts are known, told apart by whether there is a folder `train`:

    train/good/**            normal images
    calibration/good/**      normal images for thresholds (optional)
    test/<kind>/**           `good` or a kind of defect (optional)
    ground_truth/<kind>/**   masks, `<stem>_mask.png` or `<stem>.png` for `test/<kind>/**/<stem>.*`

and a flat folder of normal images. Source of the first: Bergmann et al. 2019, "MVTec AD".
"""

import posixpath
from collections.abc import Iterator

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.listing import (
    BY_HASH,
    CALIBRATION,
    TEST,
    TRAIN,
    ImageFile,
    ImageListing,
)
from proganomaly.components.records.image_example import ANOMALOUS, GOOD

_MASKS = "ground_truth"
# Files that stand beside images without being meant as such. Anything else counts as an image, so that a
# broken or unknown one is quarantined with its reason and never dropped in silence.
_SIDE_FILES = (
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".md",
    ".xml",
    ".yaml",
    ".yml",
    ".html",
    ".db",
    ".ini",
    ".part",
)


def list_images(root: str) -> ImageListing:
    """Lists an image folder without opening a single image.

    Args:
        root: A folder (no pattern, see `spans.resolve_span`), on any file system that `tf.io.gfile` knows.

    Raises:
        UserError: the folder is missing, or has no images where each layout needs some.
    """
    root = root.rstrip("/") or "/"
    if not tf.io.gfile.isdir(root):
        state = "is a file" if tf.io.gfile.exists(root) else "does not exist"
        raise UserError(f"the image folder {root} {state}")
    if tf.io.gfile.isdir(f"{root}/{TRAIN}"):
        return _list_by_kind(root)
    images = [ImageFile(path) for path in _files(root, "", nested=False)]
    if not images:
        raise UserError(
            f"the image folder {root} has neither images nor a folder {TRAIN}/{GOOD} with normal images"
        )
    return ImageListing(root, "flat", tuple(images))


def _list_by_kind(root: str) -> ImageListing:
    """Lists the layout with a folder per split and kind."""
    has_calibration = tf.io.gfile.isdir(f"{root}/{CALIBRATION}")
    split = TRAIN if has_calibration else BY_HASH
    images = [ImageFile(path, split) for path in _normal_files(root, TRAIN)]
    if has_calibration:
        images += [ImageFile(path, CALIBRATION) for path in _normal_files(root, CALIBRATION)]
    masks = {path for kind in _folders(f"{root}/{_MASKS}") for path in _files(root, f"{_MASKS}/{kind}")}
    unused_masks = set(masks)
    for kind in _folders(f"{root}/{TEST}"):
        for path in _files(root, f"{TEST}/{kind}"):
            if kind == GOOD:
                images.append(ImageFile(path, TEST))
                continue
            mask = _find_mask(path, masks)
            unused_masks.discard(mask or "")
            images.append(ImageFile(path, TEST, ANOMALOUS, kind, mask))
    images.sort(key=lambda image: image.path)
    images += [ImageFile(path, TEST, problem="the mask of no image") for path in sorted(unused_masks)]
    return ImageListing(root, "mvtec", tuple(images))


def _normal_files(root: str, split: str) -> list[str]:
    """Lists a split that must hold normal images and nothing else."""
    others = [name for name in _folders(f"{root}/{split}") if name != GOOD]
    if others:
        raise UserError(
            f"{root}/{split} may hold only normal images, in {split}/{GOOD}; found {split}/{others[0]}"
        )
    files = list(_files(root, f"{split}/{GOOD}"))
    if not files:
        raise UserError(f"{root}/{split}/{GOOD} has no images")
    return files


def _find_mask(image_path: str, masks: set[str]) -> str | None:
    stem, _ = posixpath.splitext(image_path)
    beside = _MASKS + stem.removeprefix(TEST)
    return next((name for name in (f"{beside}_mask.png", f"{beside}.png") if name in masks), None)


def _names(folder: str) -> list[str]:
    """Returns what a folder holds, sorted."""
    try:
        return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    except UnicodeDecodeError as error:
        raise UserError(f"{folder} holds a file whose name is not UTF-8: {error.object!r}") from error


def _folders(folder: str) -> list[str]:
    """Returns the names of the visible folders in `folder`, sorted; none when it does not exist."""
    if not tf.io.gfile.isdir(folder):
        return []
    names = _names(folder)
    return [name for name in names if not name.startswith(".") and tf.io.gfile.isdir(f"{folder}/{name}")]


def _files(root: str, folder: str, nested: bool = True) -> Iterator[str]:
    """Yields the visible files in `root/folder` that may be images, relative to `root`, sorted."""
    start = f"{root}/{folder}".rstrip("/")
    if not tf.io.gfile.isdir(start):
        return
    for name in _names(start):
        path = f"{folder}/{name}" if folder else name
        if name.startswith("."):
            continue
        if tf.io.gfile.isdir(f"{root}/{path}"):
            if nested:
                yield from _files(root, path)
        elif not name.lower().endswith(_SIDE_FILES):
            yield path
