"""One file at a time: what becomes of good ones and broken ones."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.image_example_gen import inspection
from proganomaly.components.image_example_gen.inspection import inspect
from proganomaly.components.image_example_gen.listing import FileContent, ImageFile
from proganomaly.components.images.rejection import Rejected

MAX_PIXELS = 10_000


def _encode(size=(16, 12), mode="RGB", file_format="PNG", seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(buffer, file_format)
    return buffer.getvalue(), pixels


def _inspect(folder, content, name="test/cut/a b ß.png", mask=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if mask is not None:
        (folder / "mask.png").write_bytes(mask)
    file = ImageFile(name, "test", 1, "cut", "mask.png" if mask is not None else None)
    return inspect(str(folder), FileContent(file), MAX_PIXELS)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_record_of_an_image(tmp_path, mode, channels):
    content, pixels = _encode(mode=mode)
    mask, _ = _encode(mode="L")
    record, decoded = _inspect(tmp_path, content, mask=mask)
    np.testing.assert_array_equal(decoded, pixels)
    assert (record.image, record.mask, record.filename) == (content, mask, "test/cut/a b ß.png")
    assert (record.height, record.width, record.channels, record.format) == (12, 16, channels, "png")
    assert (record.label, record.defect_type) == (1, "cut")
    assert record.brightness == pytest.approx(pixels[:, :, :3].mean() / 255, abs=1e-6)


def test_format_is_that_of_the_content(tmp_path):
    content, _ = _encode(file_format="JPEG")
    assert _inspect(tmp_path, content, "named.png")[0].format == "jpeg"


def _huge_png():
    """A header that announces 60000 x 60000 pixels, in a few bytes."""
    content, _ = _encode()
    return content[:16] + (60000).to_bytes(4, "big") * 2 + content[24:]


@pytest.mark.parametrize(
    ("content", "stage", "reason"),
    [
        (b"", "read", "the file is empty"),
        (b"just a note", "format", "not a PNG, JPEG, BMP, GIF, TIFF or WebP image"),
        (_encode(file_format="JPEG2000")[0], "format", "not a PNG"),
        (_encode(file_format="TIFF")[0][:100], "header", ""),
        (_encode(file_format="WEBP")[0][:100], "header", ""),
        (_encode()[0][:12], "header", ""),
        (_encode()[0][:200], "decode", ""),
        (_encode(file_format="JPEG")[0][:-150], "decode", ""),
        (_encode((101, 100))[0], "header", "101 x 100 is more than max_pixels (10000)"),
        (_huge_png(), "header", ""),
    ],
    ids=[
        "empty",
        "text",
        "jpeg2000",
        "half-tiff",
        "half-webp",
        "half-header",
        "half-png",
        "half-jpeg",
        "too-large",
        "huge",
    ],
)
def test_broken_files_are_rejected_with_a_reason(tmp_path, content, stage, reason):
    with pytest.raises(Rejected) as caught:
        _inspect(tmp_path, content)
    assert caught.value.stage == stage
    assert caught.value.reason.startswith(reason) and caught.value.reason
    assert "\n" not in caught.value.reason and "{{" not in caught.value.reason


def test_missing_file_is_rejected(tmp_path):
    with pytest.raises(Rejected, match="read: cannot be read"):
        inspect(str(tmp_path), FileContent(ImageFile("gone.png")), MAX_PIXELS)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (_encode((12, 16), "L")[0], "mask.png is 12 x 16 pixels, its image is 16 x 12"),
        (b"text", "mask.png: not a PNG"),
        (_encode(mode="L")[0][:100], "mask.png: "),
        (b"", "mask.png: the file is empty"),
    ],
    ids=["other-size", "text", "truncated", "empty"],
)
def test_broken_mask_rejects_its_image(tmp_path, mask, reason):
    with pytest.raises(Rejected) as caught:
        _inspect(tmp_path, _encode()[0], mask=mask)
    assert caught.value.stage == "mask"
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("file_format", ["TIFF", "WEBP"])
def test_what_no_server_decodes_is_stored_as_a_png_of_the_same_pixels(tmp_path, file_format):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, lossless=True)
    mask, _ = _encode(mode="L", file_format="TIFF")
    record, decoded = _inspect(tmp_path, buffer.getvalue(), "a.png", mask)
    np.testing.assert_array_equal(decoded, pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(record.image))), pixels)
    assert record.format == file_format.lower()
    assert record.image.startswith(b"\x89PNG") and record.mask.startswith(b"\x89PNG")


def test_the_white_level_and_the_span_reach_the_record(tmp_path):
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(np.full((4, 4, 1), 2000, np.uint16)).numpy())
    record, pixels = inspect(
        str(tmp_path), FileContent(ImageFile("a.png")), MAX_PIXELS, white_level=4000, span=7
    )
    # Half of the white level is 127.5, and the even neighbour of that 128.
    assert set(pixels.ravel()) == {128} and record.brightness == pytest.approx(128 / 255)
    assert record.span == 7


def _sideways(size):
    """A JPEG that a phone has turned by 90 degrees: its pixels lie as `size`, it is shown otherwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", size, "grey").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_a_mask_is_compared_with_its_image_as_shown(tmp_path):
    content = _sideways((16, 12))
    record, _ = _inspect(tmp_path, content, mask=_encode((12, 16), "L")[0])
    assert (record.width, record.height, record.image) == (12, 16, content)
    with pytest.raises(Rejected, match=r"mask.png is 16 x 12 pixels, its image is 12 x 16"):
        _inspect(tmp_path, content, mask=_encode((16, 12), "L")[0])
    # A mask that the same camera stored is turned with it.
    assert _inspect(tmp_path, content, mask=_sideways((16, 12)))[0].mask == _sideways((16, 12))


def test_bytes_at_hand_are_not_read_again(tmp_path):
    image, pixels = _encode()
    mask, _ = _encode(mode="L")
    content = FileContent(ImageFile("shard.tfrecord#17", mask="elsewhere.png"), image, mask)
    record, decoded = inspect(str(tmp_path), content, MAX_PIXELS)
    np.testing.assert_array_equal(decoded, pixels)
    assert (record.image, record.mask, record.filename) == (image, mask, "shard.tfrecord#17")


def test_a_known_problem_rejects_without_opening(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.io.gfile, "GFile", None)
    file = ImageFile("a.png", problem="a link that leads out of the folder")
    with pytest.raises(Rejected) as caught:
        inspect(str(tmp_path), FileContent(file), MAX_PIXELS)
    assert (caught.value.stage, caught.value.reason) == ("list", "a link that leads out of the folder")


def _reject_reading(folder, name="a.png"):
    with pytest.raises(Rejected) as caught:
        inspect(str(folder), FileContent(ImageFile(name)), MAX_PIXELS)
    assert caught.value.stage == "read"
    return caught.value.reason


def test_folders_and_pipes_are_rejected_at_once(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert _reject_reading(tmp_path, "folder.png") == "not a file but a folder"
    assert _reject_reading(tmp_path, "pipe.png") == "not a file but a pipe, a socket or a device"


def test_a_file_that_nobody_may_read_is_rejected(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(_encode()[0])

    def refuse(*_):
        raise tf.errors.PermissionDeniedError(None, None, "a.png; Permission denied")

    # An administrator may read everything, so that taking the permission away would prove nothing.
    monkeypatch.setattr(tf.io.gfile, "GFile", refuse)
    assert _reject_reading(tmp_path) == "cannot be read: a.png; Permission denied"


@pytest.mark.parametrize("change", ["grows", "shrinks", "is-written-anew"])
def test_a_file_that_changes_while_being_read_is_rejected(tmp_path, monkeypatch, change):
    path = tmp_path / "a.png"
    content = _encode()[0]
    path.write_bytes(content)
    original = tf.io.gfile.GFile

    class Changing(original):
        def read(self, n=-1):
            found = super().read(n)
            path.write_bytes({"grows": content + b"x", "shrinks": content[:-9]}.get(change, content[::-1]))
            os.utime(path, ns=(1, 1))
            return found

    monkeypatch.setattr(tf.io.gfile, "GFile", Changing)
    assert _reject_reading(tmp_path) == "changed while being read"


def test_a_file_beyond_all_images_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "_BYTES_BESIDE_PIXELS", 1000)
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(32 * MAX_PIXELS + 1001)
    assert _reject_reading(tmp_path) == "321001 bytes are more than an image of max_pixels (10000)"
