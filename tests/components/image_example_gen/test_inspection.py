"""One file at a time: what becomes of good ones and broken ones."""

import io

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.image_example_gen.inspection import Rejected, choose_split, inspect
from proganomaly.components.image_example_gen.layouts import ImageFile

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
    return inspect(str(folder), file, MAX_PIXELS)


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
        (b"just a note", "format", "not a PNG, JPEG, BMP or GIF image"),
        (_encode(file_format="TIFF")[0], "format", "not a PNG"),
        (_encode(file_format="WEBP")[0], "format", "not a PNG"),
        (_encode()[0][:12], "header", ""),
        (_encode()[0][:200], "decode", ""),
        (_encode(file_format="JPEG")[0][:-150], "decode", ""),
        (_encode((101, 100))[0], "header", "101 x 100 is more than max_pixels (10000)"),
        (_huge_png(), "header", ""),
    ],
    ids=["empty", "text", "tiff", "webp", "half-header", "half-png", "half-jpeg", "too-large", "huge"],
)
def test_broken_files_are_rejected_with_a_reason(tmp_path, content, stage, reason):
    with pytest.raises(Rejected) as caught:
        _inspect(tmp_path, content)
    assert caught.value.stage == stage
    assert caught.value.reason.startswith(reason) and caught.value.reason
    assert "\n" not in caught.value.reason and "{{" not in caught.value.reason


def test_missing_file_is_rejected(tmp_path):
    with pytest.raises(Rejected, match="read: cannot be read"):
        inspect(str(tmp_path), ImageFile("gone.png", "train"), MAX_PIXELS)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (_encode((12, 16), "L")[0], "mask.png is 12 x 16 pixels, its image is 16 x 12"),
        (b"text", "mask.png: not a PNG"),
        (_encode(mode="L")[0][:100], "mask.png: "),
        (b"", "the file is empty"),
    ],
    ids=["other-size", "text", "truncated", "empty"],
)
def test_broken_mask_rejects_its_image(tmp_path, mask, reason):
    with pytest.raises(Rejected) as caught:
        _inspect(tmp_path, _encode()[0], mask=mask)
    assert caught.value.stage == "mask"
    assert caught.value.reason.startswith(reason)


def test_calibration_share_is_stable_and_keeps_copies_together():
    images = [np.random.default_rng(i).integers(0, 256, (4, 4, 1), dtype=np.uint8) for i in range(1000)]
    splits = [choose_split(ImageFile(f"{i}.png", "train"), image, 0.2) for i, image in enumerate(images)]
    assert 150 <= splits.count("calibration") <= 250
    assert set(splits) == {"train", "calibration"}
    assert [choose_split(ImageFile("copy.bmp", "train"), image, 0.2) for image in images] == splits
    # A larger share takes more, and gives none back.
    larger = [choose_split(ImageFile("x", "train"), image, 0.3) for image in images]
    assert all(
        now == "calibration" for before, now in zip(splits, larger, strict=True) if before == "calibration"
    )


def test_only_training_images_are_divided():
    image = np.zeros((4, 4, 1), np.uint8)
    assert choose_split(ImageFile("a", "test"), image, 0.999999) == "test"
    assert choose_split(ImageFile("a", "calibration"), image, 0.999999) == "calibration"
    assert choose_split(ImageFile("a", "train"), image, 0.0) == "train"
