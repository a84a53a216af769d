"""Layouts that folders alone tell: by split and kind as MVTec AD and BTech have it, by class, and flat."""

import posixpath
from collections.abc import Iterable

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts.tree import Tree, broken, printable
from proganomaly.components.image_example_gen.layouts.words import CALIBRATION_FOLDERS
from proganomaly.components.image_example_gen.listing import (
    BY_HASH,
    CALIBRATION,
    TEST,
    TRAIN,
    ImageFile,
)
from proganomaly.components.records.image_example import ANOMALOUS, GOOD

MASKS = "ground_truth"
NORMAL_CLASSES = ("good", "ok", "normal")
# In the order in which they are looked for.
_MASK_SUFFIXES = ("_mask", "", "_gt", "_label", "_segmentation")
_MASK_EXTENSIONS = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
_TOLD_FOLDERS = 20


def list_by_split(tree: Tree, normal: str = GOOD) -> list[ImageFile]:
    """Lists a folder per split and kind: `train/good`, `test/<kind>`, `ground_truth/<kind>`.

    Sources: Bergmann et al. 2019, "MVTec AD"; with "ok" as `normal`, Mishra et al. 2021, "VT-ADL" (BTech).

    Args:
        tree: The folder.
        normal: Name of the folders of normal images.

    Raises:
        UserError: a split that may hold only normal images holds others, or none.
    """
    calibrations = [name for name in CALIBRATION_FOLDERS if name in tree.folders]
    if len(calibrations) > 1:
        raise UserError(
            f"{printable(tree.root)} may have one folder of images for calibration; "
            f"found {', '.join(calibrations)}"
        )
    files = [ImageFile(path, TRAIN) for path in _normal_files(tree, TRAIN, normal)]
    for name in calibrations:
        files += [ImageFile(path, CALIBRATION) for path in _normal_files(tree, name, normal)]
    for kind in tree.children(TEST):
        images, masks = tree.below(f"{TEST}/{kind}"), tree.below(f"{MASKS}/{kind}")
        if kind == normal:
            files += [ImageFile(path, TEST) for path in images]
            files += [broken(path, "the mask of a normal image") for path in masks]
        else:
            files += join_masks(images, f"{TEST}/{kind}", masks, f"{MASKS}/{kind}", kind)
    taken = {file.path for file in files} | {file.mask for file in files}
    files += [broken(path, "the mask of no image") for path in tree.below(MASKS) if path not in taken]
    return files


def join_masks(
    images: Iterable[str], folder: str, masks: Iterable[str], mask_folder: str, kind: str
) -> list[ImageFile]:
    """Lists anomalous test images with the masks that bear their names.

    Args:
        images: Paths of the images, below `folder`.
        folder: Where the images are.
        masks: Paths of the masks, below `mask_folder`.
        mask_folder: Where the masks are, in the same folders as the images below `folder`.
        kind: Kind of defect.

    Returns:
        The images, and the masks that belong to none of them, with that as their problem.
    """
    by_name: dict[tuple[str, str], str] = {}
    for path in sorted(masks):
        stem, extension = posixpath.splitext(path)
        by_name.setdefault((stem, extension.lower()), path)
    files, used, others = [], set(), set()
    for path in images:
        stem = mask_folder + posixpath.splitext(path)[0].removeprefix(folder)
        names = [(stem + suffix, extension) for suffix in _MASK_SUFFIXES for extension in _MASK_EXTENSIONS]
        found = [by_name[name] for name in names if name in by_name]
        used.update(found[:1])
        others.update(found[1:])
        files.append(ImageFile(path, TEST, ANOMALOUS, kind, found[0] if found else None))
    for path in masks:
        if path not in used:
            files.append(
                broken(path, "one of two masks of an image" if path in others else "the mask of no image")
            )
    return files


def list_classes(tree: Tree, normal_class: str) -> list[ImageFile]:
    """Lists a folder per class, of which one is normal.

    Args:
        tree: The folder.
        normal_class: Name of the normal class; "" for the one that is called "good", "ok" or "normal".

    Raises:
        UserError: no folder, or more than one, is the normal class, or it is empty.
    """
    names = tree.children()
    normal = _normal_class(tree, names, normal_class)
    files = []
    for path in tree.files:
        name, slash, _ = path.partition("/")
        if not slash:
            files.append(broken(path, "in no class folder"))
        elif name == normal:
            files.append(ImageFile(path))
        else:
            files.append(ImageFile(path, TEST, ANOMALOUS, name))
    if not any(file.split == BY_HASH and not file.problem for file in files):
        raise UserError(
            f"{printable(tree.root)}/{printable(normal)} has no images{tree.first_problem(normal)}"
        )
    return files


def _normal_class(tree: Tree, names: list[str], wanted: str) -> str:
    told = ", ".join(printable(name) for name in names[:_TOLD_FOLDERS]) or "none"
    told += ", ..." if len(names) > _TOLD_FOLDERS else ""
    if wanted:
        if wanted not in names:
            raise UserError(
                f"normal_class must be one of the folders of {printable(tree.root)} ({told}); "
                f"received {wanted!r}"
            )
        return wanted
    found = [name for name in names if name.lower() in NORMAL_CLASSES]
    if len(found) != 1:
        state = "several" if found else "none"
        raise UserError(
            f"{printable(tree.root)} has folders ({told}), {state} called {' or '.join(NORMAL_CLASSES)}: "
            "name the normal one with --ingest.normal_class, or say --ingest.layout=flat if all images are "
            "normal"
        )
    return found[0]


def list_flat(tree: Tree) -> list[ImageFile]:
    """Lists images that are all normal, whatever folders they are in.

    Raises:
        UserError: there are none.
    """
    if not tree.files:
        raise UserError(f"the image folder {printable(tree.root)} has no images{tree.first_problem()}")
    return [ImageFile(path) for path in tree.files]


def _normal_files(tree: Tree, split: str, normal: str) -> list[str]:
    """Lists a split that must hold normal images and nothing else."""
    others = [name for name in tree.children(split) if name != normal]
    if others:
        raise UserError(
            f"{printable(tree.root)}/{split} may hold only normal images, in {split}/{normal}; "
            f"found {split}/{printable(others[0])}"
        )
    files = tree.below(f"{split}/{normal}")
    if not files:
        raise UserError(f"{printable(tree.root)}/{split}/{normal} has no images{tree.first_problem(split)}")
    return files
