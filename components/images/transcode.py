"""What becomes of a file before the decoder sees it: it stays, becomes a PNG, or is rejected.

Whatever the graph decodes rightly stays as it is. The graph cannot be told a limit: sizes are checked here,
by headers, before anything is decoded.
"""

import io
import struct
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL.BmpImagePlugin import BmpImageFile
from PIL.WebPImagePlugin import WebPImageFile

from proganomaly.components.images.decode import image_format
from proganomaly.components.images.orientation import make_array_upright
from proganomaly.components.images.pillow_pixels import pillow_orientation, pillow_pixels
from proganomaly.components.images.rejection import Rejected, check_size, rejecting
from proganomaly.components.images.tiff import tiff_pixels

FORMATS = "PNG, JPEG, BMP, GIF, TIFF or WebP"
_TIFF_MAGIC_BYTES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# A progressive JPEG sends its pixels in scans, each as costly as the image; 10 are usual. The work of
# decoding is bounded to so many times that of the largest image allowed.
_MOST_SCANS = 20


def servable(content: bytes, max_pixels: int) -> tuple[bytes, str]:
    """Returns what the decoder takes for a file, and the format of the file.

    Args:
        content: The file. Its first bytes say what it is, whatever its name.
        max_pixels: The header may announce at most so many pixels.

    Returns:
        The file itself where `decode_pixels` decodes it rightly, else a PNG of its pixels, of 16 bits where
        the file has more than 8; and "png", "jpeg", "bmp", "gif", "tiff" or "webp".

    Raises:
        Rejected: it is nothing known, too large, damaged as far as that shows, or holds what no image holds.
    """
    name = file_format(content)
    if name is None:
        raise Rejected("format", f"not a {FORMATS} image")
    return _CONVERSIONS[name](content, max_pixels), name


def file_format(content: bytes) -> str | None:
    """Returns the format of a file by its first bytes; None for what cannot be ingested."""
    if content.startswith(_TIFF_MAGIC_BYTES):
        return "tiff"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return image_format(content)


def encode_png(pixels: np.ndarray) -> bytes:
    """Returns a PNG of uint8 or uint16 [height, width, 1 to 4]."""
    encoded: bytes = tf.io.encode_png(np.ascontiguousarray(pixels)).numpy()
    return encoded


def _check_png(content: bytes, max_pixels: int) -> bytes:
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise Rejected("header", "the header is broken or cut off")
    width, height = struct.unpack(">II", content[16:24])
    check_size(width, height, max_pixels)
    return content


def _check_jpeg(content: bytes, max_pixels: int) -> bytes:
    with rejecting("header"):
        height, width, _ = tf.io.extract_jpeg_shape(content).numpy().tolist()
    check_size(width, height, max_pixels)
    scans = content.count(b"\xff\xda")
    if scans * width * height > _MOST_SCANS * max_pixels:
        raise Rejected("header", f"{scans} scans of {width} x {height} are too many")
    return content


def _convert_bmp(content: bytes, max_pixels: int) -> bytes:
    with rejecting("header"):
        image = BmpImageFile(io.BytesIO(content))
        check_size(*image.size, max_pixels)
        header_size, bits, compression = struct.unpack("<I10xHI", content[14:34])
    # The same as the graph says of a BMP.
    if header_size >= 40 and compression == 0 and (bits in (24, 32) or (bits == 8 and image.mode == "L")):
        return content
    with rejecting("decode"):
        return encode_png(pillow_pixels(image))


def _cut_gif(content: bytes, max_pixels: int) -> bytes:
    """Cuts an animation behind its first frame: the decoder would unpack every frame to return the first."""
    with rejecting("header"):
        width, height = struct.unpack("<HH", content[6:10])
        check_size(width, height, max_pixels)
        position = 13 + _colour_table_bytes(content[10])
        while content[position] == ord("!"):
            position = _after_blocks(content, position + 2)
        if content[position] != ord(","):
            raise Rejected("header", "the file holds no frame")
        width, height, flags = struct.unpack("<4xHHB", content[position + 1 : position + 10])
        check_size(width, height, max_pixels)
        end = _after_blocks(content, position + 11 + _colour_table_bytes(flags))
    return content if content[end : end + 1] in (b";", b"") else content[:end] + b";"


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(content: bytes, position: int) -> int:
    """Returns where a chain of blocks ends, each of which begins with its length; a length of 0 ends it."""
    while content[position]:
        position += content[position] + 1
    return position + 1


def _convert_webp(content: bytes, max_pixels: int) -> bytes:
    with rejecting("header"):
        image = WebPImageFile(io.BytesIO(content))
        check_size(*image.size, max_pixels)
    with rejecting("decode"):
        return encode_png(make_array_upright(pillow_pixels(image), pillow_orientation(image)))


def _convert_tiff(content: bytes, max_pixels: int) -> bytes:
    return encode_png(tiff_pixels(content, max_pixels))


_CONVERSIONS: dict[str, Callable[[bytes, int], bytes]] = {
    "png": _check_png,
    "jpeg": _check_jpeg,
    "bmp": _convert_bmp,
    "gif": _cut_gif,
    "webp": _convert_webp,
    "tiff": _convert_tiff,
}
