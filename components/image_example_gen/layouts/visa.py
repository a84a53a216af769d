"""VisA: objects with their images and masks, and a CSV file that says which are for what.

Source: Zou et al. 2022, "SPot-the-Difference" (VisA): `split_csv/1cls.csv`, with the columns object, split,
label, image and mask, beside a folder per object: `Data/Images/{Normal,Anomaly}`, `Data/Masks/Anomaly`.
"""

import posixpath
import re

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts.folders import join_masks
from proganomaly.components.image_example_gen.layouts.tables import Row, read_table
from proganomaly.components.image_example_gen.layouts.tree import Tree, broken, printable
from proganomaly.components.image_example_gen.listing import TEST, TRAIN, ImageFile
from proganomaly.components.records.image_example import ANOMALOUS

SPLIT_FILE = "split_csv/1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")
_IMAGE_FOLDER = re.compile(r"(?:(?P<object>[^/]+)/)?Data/Images/(Normal|Anomaly)")
# Its split file knows one kind of anomaly.
_KIND = "anomaly"


def looks_like_visa(tree: Tree) -> bool:
    """Whether a folder is the data set or one of its objects."""
    return SPLIT_FILE in tree.side_files or any(map(_IMAGE_FOLDER.fullmatch, tree.folders))


def list_visa(tree: Tree, normal_class: str) -> tuple[Tree, list[ImageFile]]:
    """Lists one object of the data set.

    Args:
        tree: The data set, or one object.
        normal_class: Name of the object, where the folder holds several.

    Returns:
        What of the tree belongs to the object; its images.

    Raises:
        UserError: there is no such object, or several and none is named, or the CSV file is no such file.
    """
    matches = filter(None, map(_IMAGE_FOLDER.fullmatch, tree.folders))
    names = sorted({match["object"] or "" for match in matches})
    if names == [""]:
        folder, name = "", posixpath.basename(tree.root.rstrip("/"))
        csv_path = posixpath.join(posixpath.dirname(tree.root.rstrip("/")), SPLIT_FILE)
    else:
        folder = name = _choose_object(tree, [name for name in names if name], normal_class)
        csv_path = f"{tree.root}/{SPLIT_FILE}"
        tree = _only(tree, name)
    if not tf.io.gfile.exists(csv_path):
        return tree, _list_by_folder(tree, folder)
    return tree, _list_by_rows(tree, _read_rows(csv_path, name), folder, name)


def _choose_object(tree: Tree, names: list[str], wanted: str) -> str:
    told = ", ".join(map(printable, names)) or "none"
    if wanted and wanted not in names:
        raise UserError(
            f"normal_class must be one of the objects of {printable(tree.root)} ({told}); received {wanted!r}"
        )
    if wanted:
        return wanted
    if len(names) != 1:
        raise UserError(
            f"{printable(tree.root)} holds {len(names)} objects ({told}): name one with "
            "--ingest.normal_class, or give its folder"
        )
    return names[0]


def _only(tree: Tree, folder: str) -> Tree:
    """Returns the part of a tree that is below a folder; other objects are other data sets."""
    inside = f"{folder}/"
    return Tree(
        tree.root,
        [path for path in tree.files if path.startswith(inside)],
        [path for path in tree.side_files if path.startswith(inside)],
        {path: why for path, why in tree.problems.items() if f"{path}/".startswith(inside)},
        {path for path in tree.folders if path.startswith(inside)},
        [path for path in tree.hidden if path.startswith(inside)],
    )


def _list_by_folder(tree: Tree, folder: str) -> list[ImageFile]:
    """Lists an object without the CSV file: normal images by hash, anomalies for testing."""
    data = posixpath.join(folder, "Data")
    images, masks = f"{data}/Images/Anomaly", f"{data}/Masks/Anomaly"
    files = [ImageFile(path) for path in tree.below(f"{data}/Images/Normal")]
    return files + join_masks(tree.below(images), images, tree.below(masks), masks, _KIND)


def _read_rows(path: str, name: str) -> list[Row]:
    """Reads the rows of one object."""
    rows = [row for row in read_table(path, _COLUMNS) if row["object"] == name]
    if not rows:
        raise UserError(f"{printable(path)} has no rows for the object {printable(name)}")
    for row in rows:
        label, split = row.checked("label", ("normal", _KIND)), row.checked("split", (TRAIN, TEST))
        if (label, split) == (_KIND, TRAIN):
            raise row.error("split", "of an anomaly must be test")
    return rows


def _list_by_rows(tree: Tree, rows: list[Row], folder: str, name: str) -> list[ImageFile]:
    """Lists what the CSV file says; what it does not name is told."""
    there = set(tree.files)
    files: dict[str, ImageFile] = {}
    taken: set[str] = set()
    for row in rows:
        path, mask = (_inside(row[column], folder, name) for column in ("image", "mask"))
        if path in tree.problems:
            continue
        if path in files:
            files[f"{path} ({row.line})"] = broken(
                path, f"named twice in {SPLIT_FILE}, also in line {row.line}"
            )
        elif path not in there:
            files[path] = broken(path, f"does not exist, but {SPLIT_FILE}, line {row.line}, names it")
        elif row.checked("label", ("normal", _KIND)) == "normal":
            files[path] = ImageFile(path, row.checked("split", (TRAIN, TEST)))
        elif mask and mask not in there:
            files[path] = broken(path, f"its mask {mask} does not exist")
        else:
            files[path] = ImageFile(path, TEST, ANOMALOUS, _KIND, mask or None)
            taken.add(mask)
    masks = f"{posixpath.join(folder, 'Data')}/Masks/"
    for path in tree.files:
        if path not in files and path not in taken:
            what = "the mask of no image" if path.startswith(masks) else "not named"
            files[path] = broken(path, f"{what} in {SPLIT_FILE}")
    return list(files.values())


def _inside(path: str, folder: str, name: str) -> str:
    """Returns a path of the CSV file, relative to the data set, as one relative to the listed folder."""
    return path if folder else path.removeprefix(f"{name}/")
