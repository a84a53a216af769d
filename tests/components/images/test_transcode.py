"""Files of every format against what was written into them, and what is rejected and why."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageOps

from proganomaly.components.images.decode import decode_pixels
from proganomaly.components.images.rejection import Rejected
from proganomaly.components.images.transcode import file_format, servable

MAX_PIXELS = 10_000
_RNG = np.random.default_rng(0)
DEEP = _RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
RGB = Image.fromarray((DEEP >> 8).astype(np.uint8))
FRACTIONS = _RNG.random((20, 30), dtype=np.float32)


def _pillow(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _stored(content):
    """Returns the pixels of what is stored, in 8 or 16 bits as they are there."""
    stored, _ = servable(content, MAX_PIXELS)
    assert stored.startswith(b"\x89PNG")
    return tf.io.decode_png(stored, dtype=tf.uint16 if stored[24] == 16 else tf.uint8).numpy()


def _reject(content, max_pixels=MAX_PIXELS):
    with pytest.raises(Rejected) as caught:
        servable(content, max_pixels)
    return caught.value.stage, caught.value.reason


def _opened(content, mode):
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert(mode))
    return pixels.reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"rowsperstrip": 3},
        {"bigtiff": True},
    ],
    ids=["strip", "tiles", "planes", "big-endian", "strips", "bigtiff"],
)
def test_colour_of_16_bits_keeps_them(options, compression):
    pixels = np.moveaxis(DEEP, 2, 0) if "planarconfig" in options else DEEP
    content = _tiff(pixels, photometric="rgb", compression=compression, **options)
    np.testing.assert_array_equal(_stored(content), DEEP)


def test_a_horizontal_predictor_is_undone():
    content = _tiff(DEEP, photometric="rgb", compression="zlib", predictor=True)
    np.testing.assert_array_equal(_stored(content), DEEP)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_grey_of_16_bits_keeps_them_in_every_compression(compression):
    content = _pillow(Image.fromarray(DEEP[:, :, 0]), "TIFF", compression=compression)
    np.testing.assert_array_equal(_stored(content), DEEP[:, :, :1])


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_of_16_bits_stays(channels):
    pixels = _RNG.integers(0, 65536, (8, 9, channels), dtype=np.uint16)
    content = _tiff(pixels, photometric="rgb" if channels == 4 else "minisblack", planarconfig="contig")
    np.testing.assert_array_equal(_stored(content), pixels)


def test_twelve_bits_are_as_they_are_stored():
    scan = DEEP[:, :, 0] >> 4
    content = _tiff(scan)
    np.testing.assert_array_equal(_stored(content)[:, :, 0], scan)
    stored, _ = servable(content, MAX_PIXELS)
    expected = np.rint(scan * (255 / 4095))
    np.testing.assert_array_equal(decode_pixels(stored, white_level=4095)[:, :, 0], expected)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (FRACTIONS, np.rint(FRACTIONS.astype(np.float64) * 65535)),
        (FRACTIONS.astype(np.float64), np.rint(FRACTIONS.astype(np.float64) * 65535)),
        (FRACTIONS * 255, np.rint(FRACTIONS * 255)),
        (np.array([[0.5, 1.5, 65535.0]]), [[0, 2, 65535]]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [[0, 32768, 65535]]),
        (DEEP[:, :, 0].astype(np.int32), DEEP[:, :, 0]),
        (DEEP[:, :, 0].astype(np.uint32), DEEP[:, :, 0]),
        ((DEEP[:, :, 0] >> 1).astype(np.int16), DEEP[:, :, 0] >> 1),
        ((DEEP[:, :, 0] >> 9).astype(np.int8), DEEP[:, :, 0] >> 9),
    ],
    ids=["float", "double", "to-255", "to-65535", "half", "int32", "uint32", "int16", "int8"],
)
def test_other_numbers_become_16_bits_by_the_rule(pixels, expected):
    np.testing.assert_array_equal(_stored(_tiff(pixels))[:, :, 0], expected)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.array([[0, np.nan]], np.float32), "pixels that are NaN or infinite"),
        (np.array([[0, np.inf]], np.float64), "pixels that are NaN or infinite"),
        (np.array([[-0.25, 1]], np.float32), "values from -0.25 to 1; they must lie in [0, 1] or [0, 65535]"),
        (np.array([[0, 65536]], np.int32), "values from 0 to 65536; they must lie"),
        (np.array([[-3, 7]], np.int16), "values from -3 to 7; they must lie"),
        (np.array([[1j, 2]], np.complex64), "pixels of the type complex64"),
    ],
    ids=["nan", "inf", "negative", "too-high", "signed", "complex"],
)
def test_what_is_no_brightness_is_rejected(pixels, reason):
    stage, found = _reject(_tiff(pixels))
    assert stage == "decode" and found.startswith(reason)


def test_where_zero_is_white_the_pixels_are_inverted():
    content = _tiff(DEEP[:, :, 0], photometric="miniswhite")
    np.testing.assert_array_equal(_stored(content)[:, :, 0], 65535 - DEEP[:, :, 0])
    shallow = np.asarray(RGB)[:, :, 0]
    np.testing.assert_array_equal(_stored(_tiff(shallow, photometric="miniswhite"))[:, :, 0], 255 - shallow)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits"])
def test_tiff_of_8_bits_is_pillows(mode, compression):
    content = _pillow(RGB.convert(mode), "TIFF", compression=compression)
    expected = _opened(content, {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode))
    np.testing.assert_array_equal(_stored(content), expected)


def test_of_many_pages_the_first_counts():
    pages = np.stack([DEEP, DEEP // 2, DEEP // 3])
    np.testing.assert_array_equal(_stored(_tiff(pages, photometric="rgb")), DEEP)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_and_webp_are_turned_as_pillow_turns_them(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(_pillow(RGB, "PNG", exif=exif)))))
    tag = [(0x0112, 3, 1, orientation, True)]
    for content in (
        _tiff(np.asarray(RGB), photometric="rgb", extratags=tag),
        _pillow(RGB, "WEBP", lossless=True, exif=exif),
    ):
        np.testing.assert_array_equal(_stored(content), expected)
    np.testing.assert_array_equal(_stored(_tiff(DEEP, photometric="rgb", extratags=tag)) >> 8, expected)
    packed = _pillow(
        Image.fromarray(DEEP[:, :, 0]), "TIFF", compression="tiff_lzw", tiffinfo={0x0112: orientation}
    )
    np.testing.assert_array_equal(_stored(packed)[:, :, 0] >> 8, expected[:, :, 0])


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_webp_is_pillows(lossless, with_alpha):
    image = RGB.convert("RGBA")
    if with_alpha:
        image.putalpha(RGB.convert("L"))
    content = _pillow(image, "WEBP", lossless=lossless)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert expected.shape[2] == (4 if with_alpha else 3)
    np.testing.assert_array_equal(_stored(content), expected)


def test_animated_webp_gives_its_first_frame():
    content = _pillow(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(180)], lossless=True)
    np.testing.assert_array_equal(_stored(content), np.asarray(RGB))


@pytest.mark.parametrize(
    "content",
    [
        _pillow(RGB, "PNG"),
        _pillow(RGB, "JPEG"),
        _pillow(RGB.convert("CMYK"), "JPEG"),
        _pillow(RGB, "BMP"),
        _pillow(RGB.convert("L"), "BMP"),
        _pillow(RGB.convert("RGBA"), "BMP"),
        _pillow(RGB.quantize(8), "GIF"),
    ],
    ids=["png", "jpeg", "cmyk", "bmp", "bmp-grey", "bmp-32", "gif"],
)
def test_what_the_decoder_takes_stays_untouched(content):
    stored, name = servable(content, MAX_PIXELS)
    assert stored is content and name == file_format(content)
    assert decode_pixels(stored).shape[:2] == (20, 30)


@pytest.mark.parametrize("mode", ["1", "P"])
def test_a_bmp_that_the_decoder_refuses_becomes_a_png(mode):
    content = _pillow(RGB.quantize(8) if mode == "P" else RGB.convert("1"), "BMP")
    np.testing.assert_array_equal(_stored(content), _opened(content, "RGB" if mode == "P" else "L"))


def test_an_animated_gif_is_cut_behind_its_first_frame():
    frames = [RGB.quantize(8), RGB.rotate(90, expand=True).quantize(8), RGB.rotate(180).quantize(8)]
    content = _pillow(frames[0], "GIF", save_all=True, append_images=frames[1:])
    stored, _ = servable(content, MAX_PIXELS)
    assert stored.startswith(b"GIF8") and len(stored) < len(content) / 2
    assert not getattr(Image.open(io.BytesIO(stored)), "is_animated", False)
    # A served model that is sent the whole file sees the same.
    np.testing.assert_array_equal(decode_pixels(stored), decode_pixels(content))
    np.testing.assert_array_equal(decode_pixels(stored), _opened(content, "RGB"))


def test_five_channels_are_named():
    pixels = _RNG.integers(0, 255, (8, 9, 5), dtype=np.uint8)
    content = _tiff(pixels, photometric="minisblack", planarconfig="contig")
    assert _reject(content) == ("header", "5 channels; an image has 1 to 4")


def test_a_volume_is_no_image():
    content = _tiff(np.zeros((32, 32, 32), np.uint8), volumetric=True, tile=(16, 16, 16))
    assert _reject(content) == ("header", "the file holds a volume, not an image")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"RIFF....AVI ", _pillow(RGB, "JPEG2000"), _pillow(RGB, "PPM")]
)
def test_other_formats_are_rejected(content):
    assert _reject(content) == ("format", "not a PNG, JPEG, BMP, GIF, TIFF or WebP image")


def _png_of(width, height):
    content = _pillow(RGB, "PNG")
    return content[:16] + struct.pack(">II", width, height) + content[24:]


def _tiff_of(width, height):
    head = struct.pack("<2sHIH", b"II", 42, 8, 6)
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8)]
    return head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)


def _bmp_of(width, height):
    content = _pillow(RGB, "BMP")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


def _gif_of(width, height):
    content = _pillow(RGB.quantize(8), "GIF")
    return content[:6] + struct.pack("<HH", width, height) + content[10:]


def _jpeg_of(width, height):
    content = _pillow(RGB, "JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


@pytest.mark.parametrize("make", [_png_of, _tiff_of, _bmp_of, _gif_of, _jpeg_of])
@pytest.mark.parametrize("size", [(0, 5), (101, 100), (65535, 65535)])
def test_absurd_sizes_are_rejected_by_the_header(make, size):
    stage, reason = _reject(make(*size))
    assert stage == "header" and reason
    if size == (101, 100):
        assert reason == "101 x 100 is more than max_pixels (10000)"


def test_the_limit_is_ours_and_not_pillows():
    # Pillow refuses to open what is above 179 million pixels; 200 million are announced here, and allowed.
    stage, _ = _reject(_tiff_of(20_000, 10_000), 300_000_000)
    assert stage == "decode"
    assert servable(_png_of(20_000, 10_000), 300_000_000)[1] == "png"


def test_many_pages_cost_no_time():
    content = _tiff(np.zeros((3000, 4, 4), np.uint8), photometric="minisblack")
    np.testing.assert_array_equal(_stored(content), np.zeros((4, 4, 1)))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_cut_tiff_is_rejected(compression):
    content = _tiff(DEEP, photometric="rgb", compression=compression)
    assert _reject(content[:-200])[1] == "the pixels are cut off"


def test_a_strip_that_unpacks_to_more_than_announced_is_rejected():
    content = bytearray(_tiff(np.zeros((2000, 1000), np.uint16), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        place = file.pages.first.tags["ImageLength"].valueoffset
        rows = file.pages.first.tags["RowsPerStrip"].valueoffset
    content[place : place + 2] = content[rows : rows + 2] = struct.pack("<H", 4)
    assert _reject(bytes(content)) == ("decode", "the file unpacks to more than its header announces")


def test_scans_without_end_are_rejected():
    content = _pillow(RGB, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    many = content[:last] + content[last:-2] * 400 + content[-2:]
    stage, reason = _reject(many)
    assert stage == "header" and reason.endswith("scans of 30 x 20 are too many")
    assert servable(content, 20 * 30)[0] is content


def test_colour_of_16_bits_that_nothing_reads_says_what_to_do():
    content = bytearray(_tiff(DEEP, photometric="rgb"))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        place = file.pages.first.tags["Compression"].valueoffset
    content[place : place + 2] = struct.pack("<H", 5)
    stage, reason = _reject(bytes(content))
    assert stage == "decode"
    assert reason == (
        "3 channels of 16 bits (UINT) compressed by LZW cannot be read; save the image without compression"
    )
