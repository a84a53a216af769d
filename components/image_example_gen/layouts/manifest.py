"""Images that a table names: a CSV or JSON-lines file with a row per image."""

import difflib
import os
import posixpath

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts.tables import Row, read_table
from proganomaly.components.image_example_gen.layouts.tree import (
    Tree,
    broken,
    link_problem,
    printable,
    special_kind,
)
from proganomaly.components.image_example_gen.layouts.words import LABELS, SPLITS
from proganomaly.components.image_example_gen.listing import BY_HASH, TEST, ImageFile, is_local
from proganomaly.components.records.image_example import ANOMALOUS, GOOD, NORMAL

NAMES = ("manifest.csv", "manifest.jsonl")
_COLUMNS = ("path", "label", "defect_type", "mask", "split", "group")
_LIKENESS = 0.8


def list_manifest(tree: Tree, path: str, follow_links: bool) -> list[ImageFile]:
    """Lists what a manifest names.

    Args:
        tree: The manifest's folder.
        path: The manifest.
        follow_links: Whether images may be outside of that folder.

    Raises:
        UserError: it is no such table, names no image, or a row contradicts itself.
    """
    rows = read_table(path, required=("path",))
    if not rows:
        raise UserError(f"{printable(path)} names no image")
    _check_columns(path, {column for row in rows for column in row.values})
    places = _Places(tree, follow_links)
    lines: dict[str, int] = {}
    files = []
    for row in rows:
        if not row["path"]:
            raise row.error("path", "may not be empty")
        file = _read_row(row)
        name, problem = places.find(row["path"])
        if name in lines:
            problem = f"named in lines {lines[name]} and {row.line} of {posixpath.basename(path)}"
        lines.setdefault(name, row.line)
        mask, mask_problem = places.find(row["mask"]) if row["mask"] else (None, "")
        if mask is not None and file.label == NORMAL:
            files.append(broken(mask, "the mask of a normal image"))
            mask, mask_problem = None, ""
        if mask_problem and not problem:
            problem = f"its mask {printable(row['mask'])}: {mask_problem}"
        files.append(ImageFile(name, file.split, file.label, file.defect_type, mask, row["group"], problem))
    return files


def _read_row(row: Row) -> ImageFile:
    """Returns what a row says of its image.

    Raises:
        UserError: a value is none of those that are allowed, or two contradict each other.
    """
    label, kind = LABELS[row.checked("label", LABELS)], row["defect_type"].strip()
    named_normal = LABELS.get(kind.lower()) == NORMAL
    if label is None and kind:
        label = NORMAL if named_normal else ANOMALOUS
    elif label == NORMAL and kind and not named_normal:
        raise row.error("defect_type", "of a normal image must be empty or good")
    elif label == ANOMALOUS and named_normal:
        raise row.error("defect_type", "of an anomalous image must be a kind of defect")
    split = SPLITS[word] if (word := row.checked("split", ("", *SPLITS))) else None
    if label == ANOMALOUS and split not in (None, TEST):
        raise row.error("split", "of an anomalous image must be test: only normal images fit anything")
    if split is None:
        split = BY_HASH if label == NORMAL else TEST
    return ImageFile(row["path"], split, label, GOOD if label == NORMAL else kind)


def _check_columns(path: str, columns: set[str]) -> None:
    """Raises UserError for a column that is a known one mistyped; others are the user's own."""
    for column in sorted(columns.difference(_COLUMNS)):
        meant = difflib.get_close_matches(column, _COLUMNS, 1, _LIKENESS)
        if meant and meant[0] not in columns:
            raise UserError(
                f"{printable(path)}: there is no column {printable(column)!r}; did you mean {meant[0]}?"
            )


class _Places:
    """Finds the files that a manifest names, below its folder or outside."""

    def __init__(self, tree: Tree, follow_links: bool) -> None:
        self._tree = tree
        self._follow_links = follow_links
        self._known = {*tree.files, *tree.side_files}
        self._local = is_local(tree.root)
        self._absolute = posixpath.abspath(tree.root) if self._local else tree.root
        self._real = os.path.realpath(os.fsencode(tree.root)) if self._local else b""

    def find(self, written: str) -> tuple[str, str]:
        """Returns a path relative to the root, and what is wrong with it, "" if nothing.

        Args:
            written: Absolute, or relative to the root.
        """
        path = self._relative(written)
        if path in self._known:
            return path, ""
        if path in self._tree.problems:
            return path, self._tree.problems[path]
        if path in self._tree.folders:
            return path, "a folder"
        is_outside = path.startswith(("../", "/")) or path == ".." or "://" in path
        if is_outside and not (self._follow_links and self._local):
            return path, "outside of the manifest's folder (see --ingest.follow_links)"
        # Hidden files, those behind links and those outside are not in the tree.
        return path, self._problem(path)

    def _relative(self, written: str) -> str:
        if not self._local:
            inside = written.removeprefix(f"{self._absolute}/")
            return inside if "://" in inside else posixpath.normpath(inside)
        if posixpath.isabs(written):
            return posixpath.relpath(written, self._absolute)
        return posixpath.normpath(written)

    def _problem(self, path: str) -> str:
        full = posixpath.join(self._tree.root, path)
        if not self._local:
            return "" if tf.io.gfile.exists(full) else "does not exist"
        encoded = os.fsencode(full)
        if not os.path.lexists(encoded):
            return "does not exist"
        if problem := link_problem(encoded, self._real, self._follow_links):
            return problem
        if os.path.isdir(encoded):
            return "a folder"
        return "" if os.path.isfile(encoded) else special_kind(os.stat(encoded).st_mode)
