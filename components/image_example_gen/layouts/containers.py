"""Layouts of files that hold many images: TFRecords, pyramids, and data sets of TensorFlow Datasets.

A listing names the files; `sources` reads what is inside.
"""

import posixpath
import re

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts.tree import Tree, printable
from proganomaly.components.image_example_gen.layouts.words import split_of_file, split_of_folder
from proganomaly.components.image_example_gen.listing import BY_HASH, TEST, ImageFile
from proganomaly.components.records.pyramid_folder import has_splits, read_pyramid_info, split_folder
from proganomaly.components.records.pyramid_labels import labels_path, read_labels
from proganomaly.components.records.pyramid_record import count_records, find_levels, single_file_prefix

TFDS_PREFIX = "tfds:"
_LEVEL_FILE = re.compile(r"(?:.*[^A-Za-z0-9])?r(?:0[2-9]|10)(?!\d).*", re.DOTALL)
_LEVEL_FOLDER = re.compile(r"r(?:0[2-9]|10)/.*", re.DOTALL)


def is_tfrecord(path: str) -> bool:
    """Whether a file is one of TFRecords by its name: `a.tfrecord-00000-of-00001`, `data_tfrecord-0.gz`."""
    return "tfrecord" in posixpath.basename(path).lower()


def looks_like_pyramid(tree: Tree) -> bool:
    """Whether a folder has `pyramid.json`, or TFRecords that are named as levels or are in their folders."""
    return has_splits(tree.root) or any(
        is_tfrecord(path) and (_LEVEL_FOLDER if "/" in path else _LEVEL_FILE).fullmatch(path)
        for path in tree.files
    )


def list_tfrecords(tree: Tree) -> list[ImageFile]:
    """Lists shards; of which split each is, the folder that it is in says, else its name.

    Where no file is called `tfrecord`, each counts as a shard.

    Raises:
        UserError: there are none.
    """
    shards = [path for path in tree.files if is_tfrecord(path)] or tree.files
    if not shards:
        raise UserError(f"{printable(tree.root)} has no TFRecord files{tree.first_problem()}")
    return [_shard(path) for path in shards]


def _shard(path: str) -> ImageFile:
    folder, name = posixpath.split(path)
    splits = [split for part in reversed(folder.split("/")) if (split := split_of_folder(part))]
    split = splits[0] if splits else split_of_file(name)
    return ImageFile(path, split or BY_HASH, label=None, defect_type="")


def list_pyramid(root: str, normal_class: str) -> tuple[list[ImageFile], list[str]]:
    """Lists the files of a pyramid's largest level.

    Args:
        root: A folder as `PyramidTransform` writes it, with splits, or as the original's tool writes it.
        normal_class: Number of the class that is normal; "" for all.

    Returns:
        The files; and all other files of the pyramid, relative to the root.

    Raises:
        UserError: the folder is no pyramid, or has no such class.
    """
    if not has_splits(root):
        return _list_original_pyramid(root, normal_class)
    if normal_class:
        raise UserError(f"{printable(root)} holds no classes, so none can be normal: leave out normal_class")
    files: list[ImageFile] = []
    others: list[str] = []
    for split, number in sorted(read_pyramid_info(root).images.items()):
        if number:
            levels = _find_levels(split_folder(root, split))
            largest, rest = _largest_level(root, levels)
            files += [ImageFile(path, split_of_folder(split) or BY_HASH, None, "") for path in largest]
            others += rest
    return files, others


def _list_original_pyramid(root: str, normal_class: str) -> tuple[list[ImageFile], list[str]]:
    """Lists a pyramid without splits, with its classes where it has some."""
    levels = _find_levels(root)
    largest, others = _largest_level(root, levels)
    files = [ImageFile(path, label=None, defect_type="") for path in largest]
    prefix = single_file_prefix(root, levels)
    labels = None if prefix is None else read_labels(prefix)
    if normal_class:
        classes = 0 if labels is None else labels.shape[1]
        if normal_class not in map(str, range(classes)):
            known = f"0 to {classes - 1}" if classes else "it has none"
            raise UserError(
                f"normal_class must be the number of a class of {printable(root)} ({known}); "
                f"received {normal_class!r}"
            )
    if prefix is None or labels is None:
        return files, others
    path = labels_path(prefix)
    records = count_records(f"{root}/{largest[0]}")
    if len(labels) != records:
        raise UserError(f"{printable(path)} has {len(labels)} rows for {records} images")
    return files, [*others, _relative(path, root)]


def _find_levels(folder: str) -> dict[int, list[str]]:
    try:
        return find_levels(folder)
    except UnicodeDecodeError as error:
        raise UserError(
            f"the pyramid folder {printable(folder)} holds a name that is not UTF-8: {error.object!r}"
        ) from error


def _largest_level(root: str, levels: dict[int, list[str]]) -> tuple[list[str], list[str]]:
    """Returns the files of the largest level and those of the others, relative to the root."""
    paths = {resolution: [_relative(path, root) for path in found] for resolution, found in levels.items()}
    largest = paths.pop(max(paths))
    return largest, [path for found in paths.values() for path in found]


def _relative(path: str, root: str) -> str:
    return path.removeprefix(f"{root.rstrip('/')}/")


def list_tfds(root: str, normal_class: str) -> list[ImageFile]:
    """Lists the splits of a data set; it is downloaded and prepared if it is not yet.

    Args:
        root: "tfds:" and the name as TensorFlow Datasets knows it.
        normal_class: Name of the class that is normal; "" for all.

    Returns:
        A file for the split `train`; where one class is normal and there is one, another for `test`.

    Raises:
        UserError: there is no such data set, class or split, or it cannot be downloaded.
    """
    # Its import takes seconds, and few need it.
    from proganomaly.components.images.tfds_set import TfdsImages
    from proganomaly.components.images.tfds_settings import TfdsSettings

    name = root.removeprefix(TFDS_PREFIX)
    if not name:
        raise UserError(f"{root} names no data set; say tfds:mnist, for example")
    images = TfdsImages(TfdsSettings(name, normal=normal_class or None))
    if "train" not in images.splits:
        raise UserError(f"{name} has no split train; its splits are {', '.join(images.splits) or 'none'}")
    files = [ImageFile(f"{images.full_name}/train", label=None, defect_type="")]
    if normal_class and "test" in images.splits:
        files.append(ImageFile(f"{images.full_name}/test", TEST, None, ""))
    return files
