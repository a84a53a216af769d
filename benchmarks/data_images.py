"""Many different image files at little cost: crops of photographs, each of them with many last rows."""

import io
import itertools
import pathlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import skimage.data
from PIL import Image

_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}
_COMPLETE = ".complete"


def crops(side: int, channels: int, seed: int) -> Iterator[np.ndarray]:
    """Yields crops of photographs without end, uint8 [side, side, channels]; enlarged ones get noise."""
    random = np.random.default_rng(seed)
    photographs = [Image.fromarray(getattr(skimage.data, name)()) for name in _PHOTOGRAPHS]
    while True:
        photograph = photographs[random.integers(len(photographs))]
        size = min(side, *photograph.size)
        left, top = (int(random.integers(length - size + 1)) for length in photograph.size)
        crop = photograph.crop((left, top, left + size, top + size)).resize((side, side), Image.BICUBIC)
        pixels = np.asarray(crop if channels == 3 else crop.convert("L")).reshape(side, side, channels)
        if size < side:
            noise = random.integers(-2, 3, (side, side, 1))
            pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
        yield pixels[:, :: random.choice([-1, 1])]


def variants(pixels: np.ndarray, seed: int) -> Iterator[bytes]:
    """Yields PNG files of an image without end: the last row is random, so that no two are equal.

    All but that row is compressed once.

    Args:
        pixels: uint8 [height, width, 1 or 3].
        seed: Of the last rows.
    """
    random = np.random.default_rng(seed)
    height, width, channels = pixels.shape
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    # Rows as Pillow has filtered them: decoding is to cost what it costs with files of that kind.
    content = b"".join(data for kind, data in _chunks(file.getvalue()) if kind == b"IDAT")
    rows = zlib.decompress(content)[: -(1 + width * channels)]
    deflate = zlib.compressobj(6, wbits=-15)
    begin = b"\x78\x9c" + deflate.compress(rows) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum, crc = zlib.adler32(rows), zlib.crc32(b"IDAT" + begin)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    prefix = _SIGNATURE + _chunk(b"IHDR", header)
    while True:
        row = b"\0" + random.bytes(width * channels)
        deflate = zlib.compressobj(6, wbits=-15)
        end = deflate.compress(row) + deflate.flush() + struct.pack(">I", zlib.adler32(row, checksum))
        length = struct.pack(">I", len(begin) + len(end))
        yield b"".join(
            (prefix, length, b"IDAT", begin, end, struct.pack(">I", zlib.crc32(end, crc)), _chunk(b"IEND"))
        )


def image_files(count: int, side: int, channels: int, contents: int) -> Iterator[bytes]:
    """Yields `count` PNG files, no two alike, of `contents` crops."""
    sources = [
        variants(pixels, seed)
        for seed, pixels in enumerate(itertools.islice(crops(side, channels, side), min(contents, count)))
    ]
    for number in range(count):
        yield next(sources[number % len(sources)])


def image_folder(folder: pathlib.Path, count: int, side: int, channels: int, contents: int) -> pathlib.Path:
    """Returns a folder of such files; one that is there already and complete is used again."""
    path = folder / f"{count}-of-{side}x{side}x{channels}"
    if not (path / _COMPLETE).exists():
        path.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(image_files(count, side, channels, contents)):
            (path / f"{number:06d}.png").write_bytes(content)
        (path / _COMPLETE).touch()
    return path


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE)
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        yield kind, content[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    ending = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + ending
