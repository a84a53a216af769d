"""What a folder of pyramids says about itself: `pyramid.json` at its root."""

import dataclasses

import pydantic
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json, to_json

_FILE_NAME = "pyramid.json"


@dataclasses.dataclass(frozen=True)
class PyramidInfo:
    """The images of a pyramid folder.

    Attributes:
        spec: How the images were made; the largest level has its resolution.
        images: Number of images per split.
    """

    spec: ImageSpec
    images: dict[str, int]


def split_folder(folder: str, split: str) -> str:
    """Returns where the levels `rNN` of a split are."""
    return f"{folder.rstrip('/')}/Split-{split}"


def write_pyramid_info(folder: str, info: PyramidInfo) -> None:
    """Writes `pyramid.json` into `folder`, atomically."""
    write_atomic(f"{folder.rstrip('/')}/{_FILE_NAME}", to_json(info) + "\n")


def remove_pyramid_info(folder: str) -> None:
    """Makes `folder` one that no reader takes for whole."""
    path = f"{folder.rstrip('/')}/{_FILE_NAME}"
    if tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)


def read_pyramid_info(folder: str) -> PyramidInfo:
    """Reads `pyramid.json` from `folder`.

    Raises:
        UserError: it is missing or not what `write_pyramid_info` writes.
    """
    path = f"{folder.rstrip('/')}/{_FILE_NAME}"
    if not tf.io.gfile.exists(path):
        raise UserError(f"{folder} is no pyramid folder: {_FILE_NAME} is missing")
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    try:
        return from_json(PyramidInfo, text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path} is damaged: {first['msg']} at {first['loc']}") from error


def has_splits(folder: str) -> bool:
    """Whether `folder` is laid out by splits, with a `pyramid.json`, as `PyramidTransform` writes it."""
    return tf.io.gfile.exists(f"{folder.rstrip('/')}/{_FILE_NAME}")
