"""Looks at one image: either it becomes a record, or it is rejected with the reason."""

import os

import numpy as np
import tensorflow as tf

from proganomaly.components.image_example_gen.listing import FileContent
from proganomaly.components.images.decode import decode_pixels
from proganomaly.components.images.features import measure
from proganomaly.components.images.rejection import Rejected, one_line, rejecting
from proganomaly.components.images.spec import LARGEST_16_BIT
from proganomaly.components.images.transcode import servable
from proganomaly.components.records.image_example import ImageRecord

# No image of n pixels is a file of more than 32 n bytes (4 channels of 64 bits) and some more about it.
_BYTES_PER_PIXEL = 32
_BYTES_BESIDE_PIXELS = 64 * 2**20


def inspect(
    root: str, content: FileContent, max_pixels: int, white_level: int = LARGEST_16_BIT, span: int = 0
) -> tuple[ImageRecord, np.ndarray]:
    """Reads, checks, decodes and measures an image and its mask.

    Args:
        root: The folder that the file's paths are relative to.
        content: The file, with its bytes where they have been read already.
        max_pixels: The header may announce at most so many pixels.
        white_level: See `images.decode.decode_pixels`.
        span: The number that the record gets.

    Returns:
        The record, and the decoded pixels, uint8 [height, width, channels].

    Raises:
        Rejected: the file cannot be used.
    """
    file = content.file
    if file.problem:
        raise Rejected("list", file.problem)
    image = content.image if content.image is not None else _read(f"{root}/{file.path}", max_pixels)
    image, name, pixels = _decode(image, max_pixels, white_level)
    height, width, channels = pixels.shape
    mask = content.mask
    if mask is not None or file.mask is not None:
        mask = _check_mask(root, content, (height, width), max_pixels)
    with rejecting("decode"):
        features = measure(pixels)
    record = ImageRecord(
        image=image,
        filename=file.path,
        format=name,
        height=height,
        width=width,
        channels=channels,
        brightness=features.brightness,
        contrast=features.contrast,
        sharpness=features.sharpness,
        label=file.label,
        defect_type=file.defect_type,
        mask=mask,
        span=span,
    )
    return record, pixels


def _read(path: str, max_pixels: int) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path):
        # Reading from a pipe or a device may never end.
        kind = "a folder" if os.path.isdir(path) else "a pipe, a socket or a device"
        raise Rejected("read", f"not a file but {kind}")
    try:
        before = tf.io.gfile.stat(path)
        most = _BYTES_PER_PIXEL * max_pixels + _BYTES_BESIDE_PIXELS
        if before.length > most:
            raise Rejected(
                "read", f"{before.length} bytes are more than an image of max_pixels ({max_pixels})"
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            content: bytes = file.read()
        after = tf.io.gfile.stat(path)
    except (tf.errors.OpError, OSError, MemoryError, UnicodeError) as error:
        raise Rejected("read", f"cannot be read: {one_line(error)}") from error
    if (
        not (before.length, before.mtime_nsec)
        == (len(content), after.mtime_nsec)
        == (after.length, after.mtime_nsec)
    ):
        raise Rejected("read", "changed while being read")
    if not content:
        raise Rejected("read", "the file is empty")
    return content


def _decode(content: bytes, max_pixels: int, white_level: int) -> tuple[bytes, str, np.ndarray]:
    """Returns what is stored of an image, the format that its file has, and its pixels."""
    stored, name = servable(content, max_pixels)
    with rejecting("decode"):
        pixels: np.ndarray = decode_pixels(tf.constant(stored), white_level).numpy()
    return stored, name, pixels


def _check_mask(root: str, content: FileContent, size: tuple[int, int], max_pixels: int) -> bytes:
    """Returns the mask as it is stored, after checking that it is an image of its image's size."""
    name = content.file.mask or "the mask"
    mask = content.mask
    try:
        if mask is None:
            mask = _read(f"{root}/{name}", max_pixels)
        stored, _, pixels = _decode(mask, max_pixels, LARGEST_16_BIT)
    except Rejected as rejected:
        raise Rejected("mask", f"{name}: {rejected.reason}") from rejected
    found = pixels.shape[:2]
    if found != size:
        raise Rejected(
            "mask", f"{name} is {found[1]} x {found[0]} pixels, its image is {size[1]} x {size[0]}"
        )
    return stored
