"""Pixels of TIFFs: the first page, 8 bits as they are, anything deeper as 16 bits by a rule.

Pillow reads what has at most 8 bits, and grey of more bits in every compression that libtiff has. Of deeper
colour it keeps 8 bits, so tifffile reads that: without compression or deflated.
"""

import enum
import io
import logging
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, PHOTOMETRIC, SAMPLEFORMAT, TiffPage

from proganomaly.components.images.orientation import UPRIGHT, make_array_upright
from proganomaly.components.images.pillow_pixels import pillow_pixels
from proganomaly.components.images.rejection import Rejected, check_size, rejecting
from proganomaly.components.images.spec import LARGEST_16_BIT

_DEFLATED = (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
_PLAIN_COLOURS = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
# Deep grey that Pillow reads to the last bit: kind of number and bits.
_PILLOWS_DEEP_GREY = ((SAMPLEFORMAT.UINT, 12), (SAMPLEFORMAT.UINT, 16), (SAMPLEFORMAT.IEEEFP, 32))
_MOST_CHANNELS = 4
# No data deflates better than this.
_MOST_DEFLATION = 1100

# What tifffile finds wrong with a file ends as a rejection, or does not matter.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def tiff_pixels(content: bytes, max_pixels: int) -> np.ndarray:
    """Returns the pixels of a TIFF's first page, upright.

    Args:
        content: The file.
        max_pixels: The header may announce at most so many pixels.

    Returns:
        uint8 or uint16 [height, width, 1 to 4].

    Raises:
        Rejected: see `transcode.servable`.
    """
    with rejecting("header"), tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        _check_header(page, max_pixels)
        shallow = page.bitspersample <= 8 and page.sampleformat == SAMPLEFORMAT.UINT
        with rejecting("decode"):
            if shallow:
                return pillow_pixels(_load(content))
            return _to_unsigned(_deep_pixels(content, page), page)


def _check_header(page: TiffPage, max_pixels: int) -> None:
    check_size(page.imagewidth, page.imagelength, max_pixels)
    if page.is_tiled and page.tilewidth * page.tilelength > max_pixels:
        raise Rejected(
            "header", f"tiles of {page.tilewidth} x {page.tilelength} are more than max_pixels ({max_pixels})"
        )
    if not 1 <= page.samplesperpixel <= _MOST_CHANNELS:
        raise Rejected("header", f"{page.samplesperpixel} channels; an image has 1 to {_MOST_CHANNELS}")
    if page.imagedepth != 1 or (page.is_tiled and page.tiledepth != 1):
        raise Rejected("header", "the file holds a volume, not an image")


def _load(content: bytes) -> TiffImageFile:
    """Returns a TIFF as Pillow decodes it, which turns it upright, too."""
    image = TiffImageFile(io.BytesIO(content))
    image.load()
    return image


def _deep_pixels(content: bytes, page: TiffPage) -> np.ndarray:
    """Returns numbers as they are stored, [height, width, channels], upright."""
    if page.photometric not in _PLAIN_COLOURS:
        raise Rejected(
            "decode", f"{page.bitspersample} bits of {_name(PHOTOMETRIC, page.photometric)} colours"
        )
    kind = (page.sampleformat, page.bitspersample)
    is_simple = page.compression == COMPRESSION.NONE or page.compression in _DEFLATED
    if is_simple and page.predictor in (1, 2) and page.dtype is not None and page.bitspersample % 8 == 0:
        _check_segments(content, page)
        planes = page.asarray(squeeze=False, maxworkers=1)[:, 0]
        pixels = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], -1)
        orientation = page.tags.get("Orientation")
        return make_array_upright(pixels, orientation.value if orientation is not None else UPRIGHT)
    if page.samplesperpixel == 1 and kind in _PILLOWS_DEEP_GREY:
        return np.asarray(_load(content))[:, :, None]
    number, compression = _name(SAMPLEFORMAT, page.sampleformat), _name(COMPRESSION, page.compression)
    raise Rejected(
        "decode",
        f"{page.samplesperpixel} channels of {page.bitspersample} bits ({number}) compressed by "
        f"{compression} cannot be read; save the image without compression",
    )


def _check_segments(content: bytes, page: TiffPage) -> None:
    """Raises Rejected unless strips or tiles lie inside the file and unpack to no more than they should."""
    needed = page.imagewidth * page.imagelength * page.samplesperpixel * page.bitspersample // 8
    deflated = page.compression in _DEFLATED
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = all(count > 0 and offset + count <= len(content) for offset, count in segments)
    held = sum(count for _, count in segments) * (_MOST_DEFLATION if deflated else 1)
    if not whole or held < needed:
        raise Rejected("decode", "the pixels are cut off")
    if deflated:
        most = int(np.prod(page.chunks)) * page.bitspersample // 8
        for offset, count in segments:
            unpack = zlib.decompressobj()
            if len(unpack.decompress(content[offset : offset + count], most + 1)) > most:
                raise Rejected("decode", "the file unpacks to more than its header announces")


def _to_unsigned(pixels: np.ndarray, page: TiffPage) -> np.ndarray:
    """Returns numbers of any type as uint8 or uint16; see docs/image-formats.md for the rule."""
    if pixels.dtype.kind not in "uif":
        raise Rejected("decode", f"pixels of the type {pixels.dtype}")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise Rejected("decode", "pixels that are NaN or infinite")
    low, high = pixels.min().item(), pixels.max().item()
    if low < 0 or high > LARGEST_16_BIT:
        raise Rejected(
            "decode", f"values from {low:g} to {high:g}; they must lie in [0, 1] or [0, {LARGEST_16_BIT}]"
        )
    if pixels.dtype.kind == "f":
        scale = LARGEST_16_BIT if high <= 1 else 1
        return np.rint(pixels.astype(np.float64) * scale).astype(np.uint16)
    if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u" and page.bitspersample <= 16:
        pixels = (1 << page.bitspersample) - 1 - pixels
    return pixels.astype(np.uint8 if page.bitspersample <= 8 else np.uint16)


def _name(kind: type[enum.IntEnum], value: Any) -> str:
    """Returns what a number of the header means; broken headers hold anything."""
    try:
        return kind(value).name
    except ValueError:
        return "UNKNOWN"
