"""Whole images, a few pixels large, of every format and kind that is ingested: where fuzzing starts."""

import contextlib
import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

_SIZE = (13, 11)


def image_seeds() -> dict[str, bytes]:
    """Returns files by a name of theirs; the same in every run."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (_SIZE[1], _SIZE[0], 4), dtype=np.uint8)
    rgba = Image.fromarray(colours, "RGBA")
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    deep = rng.integers(0, 65536, (_SIZE[1], _SIZE[0], 3), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = {
        "png-1": _pillow(grey.convert("1"), "PNG"),
        "png-palette": _pillow(rgb.quantize(8), "PNG", transparency=3),
        "png-grey": _pillow(grey, "PNG"),
        "png-grey-alpha": _pillow(grey.convert("LA"), "PNG"),
        "png-rgb": _pillow(rgb, "PNG"),
        "png-rgba": _pillow(rgba, "PNG"),
        "png-16": _pillow(Image.fromarray(deep[:, :, 0]), "PNG"),
        "png-exif": _pillow(rgb, "PNG", exif=exif),
        "png-text": _pillow(rgb, "PNG", dpi=(72, 72), icc_profile=bytes(range(99))),
        "jpeg-grey": _pillow(grey, "JPEG"),
        "jpeg-rgb": _pillow(rgb, "JPEG"),
        "jpeg-cmyk": _pillow(rgb.convert("CMYK"), "JPEG"),
        "jpeg-progressive": _pillow(rgb, "JPEG", progressive=True),
        "jpeg-exif": _pillow(rgb, "JPEG", exif=exif),
        "jpeg-restarts": _pillow(rgb, "JPEG", subsampling=0, restart_marker_blocks=1),
        "bmp-1": _pillow(grey.convert("1"), "BMP"),
        "bmp-grey": _pillow(grey, "BMP"),
        "bmp-palette": _pillow(rgb.quantize(8), "BMP"),
        "bmp-rgb": _pillow(rgb, "BMP"),
        "bmp-rgba": _pillow(rgba, "BMP"),
        "gif": _pillow(rgb.quantize(8), "GIF"),
        "gif-transparent": _pillow(rgb.quantize(8), "GIF", transparency=2),
        "gif-animated": _pillow(rgb, "GIF", save_all=True, append_images=[rgba.rotate(90), rgb]),
        "webp": _pillow(rgb, "WEBP"),
        "webp-lossless": _pillow(rgba, "WEBP", lossless=True),
        "webp-exif": _pillow(rgb, "WEBP", exif=exif),
        "webp-animated": _pillow(rgb, "WEBP", save_all=True, append_images=[grey]),
        "tiff-1": _pillow(grey.convert("1"), "TIFF", compression="group4"),
        "tiff-palette": _pillow(rgb.quantize(8), "TIFF"),
        "tiff-rgb": _pillow(rgb, "TIFF"),
        "tiff-rgba-lzw": _pillow(rgba, "TIFF", compression="tiff_lzw"),
        "tiff-rgb-deflate": _pillow(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-rgb-packbits": _pillow(rgb, "TIFF", compression="packbits"),
        "tiff-rgb-jpeg": _pillow(rgb, "TIFF", compression="jpeg"),
        "tiff-cmyk": _pillow(rgb.convert("CMYK"), "TIFF"),
        "tiff-exif": _pillow(rgb, "TIFF", tiffinfo={0x0112: 6}),
        "tiff-16-lzw": _pillow(Image.fromarray(deep[:, :, 0]), "TIFF", compression="tiff_lzw"),
        "tiff-16-grey": _tifffile(deep[:, :, 0]),
        "tiff-16-rgb": _tifffile(deep, photometric="rgb"),
        "tiff-16-tiles": _tifffile(deep, photometric="rgb", tile=(16, 16)),
        "tiff-16-deflate": _tifffile(deep, photometric="rgb", compression="zlib", predictor=True),
        "tiff-16-planes": _tifffile(np.moveaxis(deep, 2, 0), photometric="rgb", planarconfig="separate"),
        "tiff-16-big-endian": _tifffile(deep, photometric="rgb", byteorder=">"),
        "tiff-big": _tifffile(deep, photometric="rgb", bigtiff=True),
        "tiff-float": _tifffile((deep[:, :, 0] / 65535).astype(np.float32)),
        "tiff-float-64": _tifffile(deep[:, :, 0] / 65535),
        "tiff-32": _tifffile(deep[:, :, 0].astype(np.int32)),
        "tiff-pages": _tifffile(np.stack([deep] * 2), photometric="rgb"),
    }
    return seeds


def mend_png(content: bytes) -> bytes:
    """Returns a PNG whose checksums are those of what it holds: damage gets past the first look."""
    mended, position = content[:8], 8
    while position + 12 <= len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        body, end = content[position + 4 : position + 8 + length], position + 12 + length
        if body.startswith(b"IDAT"):
            # Without the two bytes before the deflated data, and the four of the checksum behind.
            with contextlib.suppress(zlib.error):
                body = b"IDAT" + zlib.compress(zlib.decompressobj(-zlib.MAX_WBITS).decompress(body[6:]), 0)
                length = len(body) - 4
        mended += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        position = end
    return mended


def _pillow(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    if name == "PNG":
        # Not compressed, damage stays where it is done.
        options["compress_level"] = 0
    image.save(file, name, **options)
    return file.getvalue()


def _tifffile(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, software="", **options)
    return file.getvalue()
