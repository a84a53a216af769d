"""EXIF orientations against Pillow, in every byte order and container, and EXIF that is broken."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from proganomaly.components.images.decode import decode_images, decode_pixels
from proganomaly.components.images.orientation import make_array_upright
from proganomaly.components.images.spec import ImageSpec

# Wider than high, with a bright corner, so that no two orientations look alike.
_PIXELS = np.zeros((16, 24, 3), np.uint8)
_PIXELS[:8, :8] = (250, 120, 40)
_PIXELS[8:, 16:, 2] = 200


def _tiff(orientation, order="<", before=1, kind=3, count=1):
    """Returns Exif data with `before` other entries before the orientation."""
    entries = [struct.pack(order + "HHIHH", 0x0001 + i, 3, 1, 7, 0) for i in range(before)]
    entries.append(struct.pack(order + "HHIHH", 0x0112, kind, count, orientation, 0))
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    return start + b"".join(entries) + bytes(4)


def _jpeg(exif, before=b"", mode="RGB"):
    """Returns a JPEG with Exif data as its first segment, or behind the segments `before`."""
    buffer = io.BytesIO()
    Image.fromarray(_PIXELS).convert(mode).save(buffer, "JPEG", quality=95)
    plain = buffer.getvalue()
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    return plain[:2] + before + segment + plain[2:]


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(exif, before=b"", pixels=_PIXELS):
    plain = tf.io.encode_png(pixels).numpy()
    return plain[:33] + before + _chunk(b"eXIf", exif) + plain[33:]


def _upright(content):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("make", [_jpeg, _png])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(make, order, orientation):
    content = make(_tiff(orientation, order))
    expected = _upright(content)
    assert expected.shape == ((24, 16, 3) if orientation >= 5 else (16, 24, 3))
    decoded = decode_pixels(content).numpy()
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_are_turned_as_pillow_turns_them(orientation):
    np.testing.assert_array_equal(
        make_array_upright(_PIXELS, orientation), _upright(_png(_tiff(orientation)))
    )


@pytest.mark.parametrize(
    "content",
    [
        _jpeg(_tiff(6), b"\xff\xe0\x00\x10JFIF\0" + bytes(9)),
        _jpeg(_tiff(6), b"\xff\xe1\x00\x12http://ns.adobe.\xff\xfe\x00\x04hi"),
        _jpeg(_tiff(6), b"\xff\xe2\x00\x40" + bytes(62)),
        _jpeg(_tiff(6, before=40), mode="L"),
        _png(_tiff(6), _chunk(b"gAMA", bytes([0, 0, 177, 143])) + _chunk(b"tEXt", b"Title\0eXIf")),
        _png(_tiff(6), pixels=_PIXELS[:, :, :1]),
    ],
    ids=["jfif", "xmp-and-comment", "profile", "grey", "png-chunks", "png-grey"],
)
def test_exif_is_found_behind_other_segments(content):
    expected = _upright(content)
    decoded = decode_pixels(content).numpy()
    assert decoded.shape[:2] == (24, 16)
    assert np.abs(decoded.astype(int) - expected.reshape(decoded.shape)).max() <= 1


def test_a_deep_png_is_turned_too():
    deep = (_PIXELS.astype(np.uint16) * 257)[:, :, :1]
    expected = np.rot90(_PIXELS[:, :, 0], 1)
    np.testing.assert_array_equal(decode_pixels(_png(_tiff(8), pixels=deep)).numpy()[:, :, 0], expected)


_BROKEN = {
    "nothing": b"",
    "no-tiff": b"hello, world",
    "no-order": b"XX" + _tiff(6)[2:],
    "no-magic": b"II\x2b\0" + _tiff(6)[4:],
    "zero": _tiff(0),
    "nine": _tiff(9),
    "another-type": _tiff(6, kind=2),
    "directory-beyond": _tiff(6)[:4] + b"\xff\xff\xff\x7f" + _tiff(6)[8:],
    "directory-negative": _tiff(6)[:4] + b"\xff\xff\xff\xff" + _tiff(6)[8:],
    "directory-in-header": _tiff(6)[:4] + b"\x02\0\0\0" + _tiff(6)[8:],
    "cut-in-entry": _tiff(6)[:26],
    "cut-before-count": _tiff(6)[:9],
    "entries-without-end": _tiff(1)[:8] + b"\xff\xff" + _tiff(1)[10:],
}


@pytest.mark.parametrize("make", [_jpeg, _png])
@pytest.mark.parametrize("exif", _BROKEN.values(), ids=_BROKEN.keys())
def test_broken_exif_is_upright(make, exif):
    decoded = decode_pixels(make(exif)).numpy()
    assert np.abs(decoded.astype(int) - decode_pixels(make(_tiff(1))).numpy()).max() == 0


def test_of_two_orientations_the_segment_with_the_first_counts():
    second = _jpeg(_tiff(8))[2 : 2 + 10 + len(_tiff(8))]
    content = _jpeg(_tiff(3), second)
    np.testing.assert_array_equal(decode_pixels(content), decode_pixels(_jpeg(_tiff(8))))


def test_segments_that_lead_nowhere_end_the_walk():
    # The decoder refuses such files or passes over the segment; the walk must not read beyond the end.
    plain = _jpeg(_tiff(6))
    for content in (
        plain[:2],
        plain[:4],
        plain[:12],
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\xff\xd8\xff\xe0\0\0" * 9,
    ):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_pixels(content)
    many = _jpeg(_tiff(6), b"\xff\xe9\x00\x02" * 100)
    np.testing.assert_array_equal(decode_pixels(many), decode_pixels(_jpeg(_tiff(1))))


def test_a_saved_model_turns_its_images(tmp_path):
    spec = ImageSpec(8, 3)
    module = tf.Module()
    module.decode = tf.function(
        lambda rows: decode_images(rows, spec), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    files = [make(_tiff(o, order)) for make in (_jpeg, _png) for order in "<>" for o in range(1, 9)]
    upright = [tf.io.encode_png(decode_pixels(file)).numpy() for file in files]
    np.testing.assert_array_equal(loaded.decode(tf.constant(files)), loaded.decode(tf.constant(upright)))
    assert len({loaded.decode(tf.constant([file])).numpy().tobytes() for file in files[:8]}) == 8
