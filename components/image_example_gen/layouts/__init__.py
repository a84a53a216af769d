"""What stands in an image folder: which files are images, of which split and kind, with which masks.

`docs/data-layouts.md` shows every layout. One module knows each: `folders` (MVTec AD, BTech, classes, flat),
`visa`, `manifest`, and `containers` (TFRecords, pyramids, TensorFlow Datasets).
"""

import dataclasses
import posixpath
import re

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import containers, folders, manifest, visa
from proganomaly.components.image_example_gen.layouts.tree import Tree, broken, printable, walk
from proganomaly.components.image_example_gen.listing import (
    BY_HASH,
    CALIBRATION,
    TRAIN,
    ImageFile,
    ImageListing,
    group_of,
)
from proganomaly.components.image_example_gen.settings import CONTAINERS, ImageExampleGenSettings
from proganomaly.components.records.image_example import NORMAL
from proganomaly.components.records.pyramid_labels import LABELS_SUFFIX

_IMAGE_NAME = re.compile(r".*\.(png|jpe?g|bmp|gif|tiff?|webp)", re.IGNORECASE | re.DOTALL)
_FILE_LAYOUTS = ("manifest", "tfrecords")


def list_images(root: str, settings: ImageExampleGenSettings | None = None) -> ImageListing:
    """Lists a data set without opening a single image; its layout is recognised or named by the settings.

    Nothing is left out in silence: each file is listed, with its problem if it has one, or is counted as
    passed over.

    Args:
        root: A folder (no pattern, see `spans`) on any file system that `tf.io.gfile` knows, a manifest, a
            file of TFRecords, or "tfds:" and the name of a data set.
        settings: The layout and what it needs; None for the defaults.

    Raises:
        UserError: there is no such folder, it is laid out otherwise or in no way that is known, may be meant
            in several ways, or has no images where each layout needs some.
    """
    settings = settings or ImageExampleGenSettings()
    if root.startswith(containers.TFDS_PREFIX) or settings.layout == "tfds":
        return _list_tfds(root, settings)
    root, tree, layout = _open(root.rstrip("/") or "/", settings)
    files, passed_over, side_files = _list(root, tree, layout, settings)
    if settings.group_pattern:
        files = [
            dataclasses.replace(file, group=file.group or group_of(settings.group_pattern, file.path))
            for file in files
        ]
    files.sort(key=lambda file: file.path)
    return ImageListing(
        tree.root,
        layout,
        _held_out_by_hash(files, layout),
        passed_over,
        side_files,
        settings.normal_class,
        settings.group_pattern,
    )


def _list_tfds(root: str, settings: ImageExampleGenSettings) -> ImageListing:
    if settings.layout not in ("auto", "tfds"):
        raise UserError(f"{printable(root)} has the layout tfds; received --ingest.layout={settings.layout}")
    if not root.startswith(containers.TFDS_PREFIX):
        raise UserError(f"a data set of the layout tfds is named tfds:mnist, for example; received {root}")
    files = tuple(containers.list_tfds(root, settings.normal_class))
    return ImageListing(root, "tfds", files, 0, (), settings.normal_class, settings.group_pattern)


def _open(root: str, settings: ImageExampleGenSettings) -> tuple[str, Tree, str]:
    """Returns the path of the data, the tree of its folder, and the name of its layout."""
    if not tf.io.gfile.exists(root) or tf.io.gfile.isdir(root):
        tree = walk(root, settings.follow_links)
        return root, tree, _recognise(tree) if settings.layout == "auto" else settings.layout
    name = posixpath.basename(root)
    layout = settings.layout
    if layout == "auto" and name.lower().endswith((".csv", ".jsonl")):
        layout = "manifest"
    elif layout == "auto" and containers.is_tfrecord(name):
        layout = "tfrecords"
    if layout not in _FILE_LAYOUTS:
        raise UserError(f"the image folder {printable(root)} is a file")
    folder = posixpath.dirname(root) or "."
    if layout == "tfrecords":
        return root, Tree(folder, [name]), layout
    return root, walk(folder, settings.follow_links), layout


def _recognise(tree: Tree) -> str:
    """Returns the name of the only layout that a folder can have.

    Raises:
        UserError: it can have none, or several.
    """
    if any(name in tree.side_files for name in manifest.NAMES):
        return "manifest"
    shards = [path for path in tree.files if containers.is_tfrecord(path)]
    is_pyramid = containers.looks_like_pyramid(tree)
    has_ok = f"{TRAIN}/ok" in tree.folders
    has_shards = any(path.startswith(f"{TRAIN}/") for path in shards)
    signs = {
        "visa": visa.looks_like_visa(tree),
        "mvtec": f"{TRAIN}/good" in tree.folders or (TRAIN in tree.folders and not has_ok and not has_shards),
        "btech": has_ok,
        "pyramid": is_pyramid,
        "tfrecords": bool(shards) and not is_pyramid,
    }
    found = [name for name, is_there in signs.items() if is_there]
    if not found or found in (["pyramid"], ["tfrecords"]):
        # Beside shards only what is called an image counts as one.
        images = [path for path in tree.files if not found or _IMAGE_NAME.fullmatch(path)]
        found += ["flat"] if any("/" not in path for path in images) else []
        found += ["classes"] if any("/" in path for path in images) else []
    if not found:
        raise UserError(
            f"the image folder {printable(tree.root)} has neither images nor a folder {TRAIN}/good with "
            f"normal images{tree.first_problem()}"
        )
    if len(found) > 1:
        raise UserError(
            f"{printable(tree.root)} can be meant as {' or '.join(found)}: say which with --ingest.layout"
        )
    return found[0]


def _list(
    root: str, tree: Tree, layout: str, settings: ImageExampleGenSettings
) -> tuple[list[ImageFile], int, tuple[str, ...]]:
    """Lists a folder by a layout.

    Returns:
        The files, the number of those passed over, and those that say something of others.
    """
    others: list[str] = []
    if layout == "manifest":
        files = manifest.list_manifest(tree, _find_manifest(root, tree), settings.follow_links)
        # What a manifest does not name is not meant; what it does name stands in it, whatever it is called.
        named = {file.path for file in files} | {file.mask for file in files}
        everything = [*tree.files, *tree.side_files, *tree.problems, *tree.hidden]
        return files, sum(path not in named for path in everything), ()
    if layout == "mvtec":
        files = folders.list_by_split(tree)
    elif layout == "btech":
        files = folders.list_by_split(tree, normal="ok")
    elif layout == "visa":
        tree, files = visa.list_visa(tree, settings.normal_class)
    elif layout == "classes":
        files = folders.list_classes(tree, settings.normal_class)
    elif layout == "flat":
        files = folders.list_flat(tree)
    elif layout == "tfrecords":
        files = containers.list_tfrecords(tree)
    else:
        files, others = containers.list_pyramid(tree.root, settings.normal_class)
    taken = {file.path for file in files} | {file.mask for file in files} | set(others)
    files += [broken(path, f"no part of the layout {layout}") for path in tree.files if path not in taken]
    files += tree.problem_files()
    passed_over = len(tree.side_files) + len(tree.hidden) + len(set(others))
    return files, passed_over, tuple(path for path in others if path.endswith(LABELS_SUFFIX))


def _find_manifest(root: str, tree: Tree) -> str:
    """Returns the path of the manifest that a root is, or that is in it."""
    if root != tree.root:
        return root
    found = [name for name in manifest.NAMES if name in tree.side_files]
    if len(found) != 1:
        state = f"has both {' and '.join(found)}" if found else f"has no {' or '.join(manifest.NAMES)}"
        raise UserError(f"{printable(tree.root)} {state}; give the path of the manifest itself")
    return f"{tree.root}/{found[0]}"


def _held_out_by_hash(files: list[ImageFile], layout: str) -> tuple[ImageFile, ...]:
    """Leaves it to the hash which training images calibrate, where no images are named for that."""
    if any(file.split == CALIBRATION and not file.problem for file in files):
        return tuple(files)
    # A hash sends images of unknown labels to the test; where a manifest wants them trained on, they are.
    return tuple(
        dataclasses.replace(file, split=BY_HASH)
        if file.split == TRAIN and (file.label == NORMAL or layout in CONTAINERS)
        else file
        for file in files
    )
