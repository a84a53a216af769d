"""Looks at one file: either it becomes a record, or it is rejected with the reason."""

import hashlib
import io
import re

import numpy as np
import tensorflow as tf
from PIL import Image

from proganomaly.components.image_example_gen.layouts import CALIBRATION, TRAIN, ImageFile
from proganomaly.components.images.decode import decode_pixels, image_format
from proganomaly.components.images.features import measure
from proganomaly.components.records.image_example import ImageRecord

_LONGEST_REASON = 200


class Rejected(Exception):
    """A file that cannot be used.

    Attributes:
        stage: What was tried: "read", "format", "header", "decode" or "mask".
        reason: One line for the user.
    """

    def __init__(self, stage: str, reason: str):
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason


def inspect(root: str, file: ImageFile, max_pixels: int) -> tuple[ImageRecord, np.ndarray]:
    """Reads, checks, decodes and measures an image and its mask.

    Args:
        root: The folder that the file's paths are relative to.
        file: Which one.
        max_pixels: The header may announce at most so many pixels.

    Returns:
        The record, and the decoded pixels, uint8 [height, width, channels].

    Raises:
        Rejected: the file cannot be used.
    """
    content = _read(f"{root}/{file.path}", "read")
    pixels = _decode(content, max_pixels)
    height, width, channels = pixels.shape
    mask = None
    if file.mask is not None:
        mask = _read_mask(f"{root}/{file.mask}", file.mask, (height, width), max_pixels)
    features = measure(pixels)
    record = ImageRecord(
        image=content,
        filename=file.path,
        format=image_format(content) or "",
        height=height,
        width=width,
        channels=channels,
        brightness=features.brightness,
        contrast=features.contrast,
        sharpness=features.sharpness,
        label=file.label,
        defect_type=file.defect_type,
        mask=mask,
    )
    return record, pixels


def choose_split(file: ImageFile, pixels: np.ndarray, calibration_share: float) -> str:
    """Returns the split of an image: a share of the training images is held out for calibration.

    The choice hangs on the pixels alone, so it is the same in every run and for every copy of an image,
    whatever its name or format.

    Args:
        file: The image.
        pixels: uint8 [height, width, channels].
        calibration_share: In [0, 1); 0 where the folder brings its own calibration images.
    """
    if file.split != TRAIN:
        return file.split
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    return CALIBRATION if int.from_bytes(digest[:8], "big") < calibration_share * 2**64 else TRAIN


def _read(path: str, stage: str) -> bytes:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content: bytes = file.read()
    except (tf.errors.OpError, OSError) as error:
        raise Rejected(stage, f"cannot be read: {_one_line(error)}") from error
    if not content:
        raise Rejected(stage, "the file is empty")
    return content


def _decode(content: bytes, max_pixels: int) -> np.ndarray:
    if image_format(content) is None:
        raise Rejected("format", "not a PNG, JPEG, BMP or GIF image")
    try:
        # Only the header is read here: a small file can announce more pixels than the memory holds.
        with Image.open(io.BytesIO(content)) as header:
            width, height = header.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Rejected("header", _one_line(error)) from error
    if width * height > max_pixels:
        raise Rejected("header", f"{width} x {height} is more than max_pixels ({max_pixels})")
    try:
        pixels: np.ndarray = decode_pixels(tf.constant(content)).numpy()
    except tf.errors.OpError as error:
        raise Rejected("decode", _one_line(error)) from error
    return pixels


def _read_mask(path: str, name: str, size: tuple[int, int], max_pixels: int) -> bytes:
    """Returns the mask's file after checking that it is an image of its image's size."""
    content = _read(path, "mask")
    try:
        found = _decode(content, max_pixels).shape[:2]
    except Rejected as rejected:
        raise Rejected("mask", f"{name}: {rejected.reason}") from rejected
    if found != size:
        raise Rejected(
            "mask", f"{name} is {found[1]} x {found[0]} pixels, its image is {size[1]} x {size[0]}"
        )
    return content


def _one_line(error: BaseException) -> str:
    """Puts an error into one short line, without TensorFlow's names of nodes and ops."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|<_io\.BytesIO.*?>", "", " ".join(str(error).split()))
    return " ".join(text.split())[:_LONGEST_REASON]
