"""Writes a made data set into a folder, so that an interruption or a second call does no harm.

`dataset.json` at the folder's root tells how the set was made. It comes last: while the set is unfinished it
is called `dataset.unfinished.json`, and the next call with the same settings finishes it.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.files import require_folder, write_atomic, writing

DONE = "dataset.json"
UNFINISHED = "dataset.unfinished.json"

Item = TypeVar("Item")


def write_dataset(
    folder: str, settings: dict[str, Any], images: Iterable[tuple[str, np.ndarray]]
) -> int | None:
    """Writes a data set, unless the folder already holds it.

    Args:
        folder: Where to; made when missing.
        settings: What defines the data set; values that JSON knows.
        images: Path in the folder and uint8 image [height, width] or [height, width, channels]; equal
            settings must give equal images. There is at least one.

    Returns:
        The number of files written, None when the complete set was there already.

    Raises:
        UserError: the folder holds something else, or a set made with other settings.
    """

    def write(made: str, remaining: Iterable[tuple[str, np.ndarray]]) -> int:
        files = 0
        for path, image in remaining:
            tf.io.gfile.makedirs(f"{made}/{path.rpartition('/')[0]}")
            with tf.io.gfile.GFile(f"{made}/{path}", "wb") as file:
                file.write(_encode_png(image))
            files += 1
        return files

    return write_once(folder, settings, images, write)


def write_once(
    folder: str, settings: dict[str, Any], items: Iterable[Item], write: Callable[[str, Iterable[Item]], int]
) -> int | None:
    """Makes a data set in a folder, unless the folder already holds it.

    Args:
        folder: Where to; made when missing.
        settings: What defines the data set; values that JSON knows.
        items: What it is made of, at least one; equal settings must give equal items.
        write: Writes the items into the folder that it is given, and returns the number of files.

    Returns:
        The number of files written, None when the complete set was there already.

    Raises:
        UserError: the folder cannot be written to, or holds something else or a set made with other settings.
    """
    folder = folder.rstrip("/") or "/"
    if _is_complete(folder, settings):
        return None
    # The first item before the folder: what the settings ask for may not exist.
    remaining = iter(items)
    first = next(remaining)
    require_folder("data set", folder)
    # A crash between this and the end leaves the mark of an unfinished set that may be finished.
    with writing(f"the data set folder {folder}", "the same command goes on with it"):
        write_atomic(f"{folder}/{UNFINISHED}", json.dumps({"settings": settings}, sort_keys=True))
        if tf.io.gfile.exists(f"{folder}/{DONE}"):
            tf.io.gfile.remove(f"{folder}/{DONE}")
        files = write(folder, itertools.chain([first], remaining))
        about = {"settings": settings, "files": files}
        write_atomic(f"{folder}/{UNFINISHED}", json.dumps(about, sort_keys=True, indent=2) + "\n")
        tf.io.gfile.rename(f"{folder}/{UNFINISHED}", f"{folder}/{DONE}")
    return files


def _is_complete(folder: str, settings: dict[str, Any]) -> bool:
    """Tells whether the set is there and whole; False when it is to be made (again)."""
    if not tf.io.gfile.exists(folder):
        return False
    if not tf.io.gfile.isdir(folder):
        raise UserError(f"{folder} is a file, not a folder for a data set")
    names = {name for name in tf.io.gfile.listdir(folder) if not name.endswith(".part")}
    if not names:
        return False
    mark = next((name for name in (DONE, UNFINISHED) if name in names), None)
    if mark is None:
        raise UserError(f"{folder} is not empty and holds no data set of this command; choose another folder")
    about = _read(f"{folder}/{mark}")
    if about.get("settings") != json.loads(json.dumps(settings)):
        raise UserError(f"{folder} holds a data set with other settings; choose another folder or remove it")
    return mark == DONE and _count_files(folder) >= about.get("files", 0)


def _read(path: str) -> dict[str, Any]:
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    try:
        about = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; remove the folder to make it anew") from error
    return about if isinstance(about, dict) else {}


def _count_files(folder: str) -> int:
    """Counts what is there of the set: all visible files but the mark."""
    names = (name for _, _, names in tf.io.gfile.walk(folder) for name in names)
    return sum(name not in (DONE, UNFINISHED) and not name.startswith(".") for name in names)


def _encode_png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).save(buffer, "PNG")
    return buffer.getvalue()
