"""Tiles of ingested images: the grid of serving, nothing lost, labels by the mask."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from proganomaly.components.image_example_gen.tiles import cut_record
from proganomaly.components.images.decode import decode_image, decode_mask
from proganomaly.components.images.features import measure
from proganomaly.components.images.spec import ImageSpec, Reading
from proganomaly.components.images.tiling import source_name, stitch
from proganomaly.components.records.image_example import ImageRecord

HEIGHT, WIDTH, SIDE = 40, 56, 16
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def _pixels(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _record(pixels: np.ndarray, **known) -> ImageRecord:
    features = dataclasses.asdict(measure(pixels))
    height, width, channels = pixels.shape
    return ImageRecord(b"the file", "test/cut/1.tif", "tiff", height, width, channels, **features, **known)


def _mask(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A defect of 6 x 6 pixels, in the middle of the image."""
    mask = np.zeros((height, width, 1), np.uint8)
    mask[18:24, 26:32] = 7
    return mask


def _cut(record, pixels, side=SIDE, overlap=0.25):
    return list(cut_record(record, pixels, Reading(tile_size=side, tile_overlap=overlap)))


def test_whole_images_stay_as_they_are():
    pixels = _pixels(5, 7, 3)
    record = _record(pixels)
    [(same, of_it)] = cut_record(record, pixels, ImageSpec(fit="crop").reading)
    assert same is record and of_it is pixels


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([4, 7, 16]), st.floats(0, 0.9), st.integers(1, 4)
)
def test_stitched_tiles_are_the_image(height, width, side, overlap, channels):
    pixels = _pixels(height, width, channels, seed=height * 41 + width)
    tiles = _cut(_record(pixels), pixels, side, overlap)
    covered = np.zeros((max(height, side), max(width, side)), int)
    for record, tile in tiles:
        top, left = map(int, record.filename.rpartition("#")[2].split(","))
        covered[top : top + side, left : left + side] += 1
        here = pixels[top : top + side, left : left + side]
        # What is behind the edge is mirrored; inside of the image every pixel is what it was.
        np.testing.assert_array_equal(tile[: here.shape[0], : here.shape[1]], here)
        np.testing.assert_array_equal(_opened(record.image), tile)
    assert covered.min() == 1 or overlap > 0
    assert (covered > 0).all()
    # The served map is joined from tiles of this order.
    for channel in range(channels):
        maps = np.stack([tile[:, :, channel] for _, tile in tiles]).astype(np.float32)
        joined = stitch(tf.constant(maps), tf.constant(height), tf.constant(width), overlap)
        np.testing.assert_allclose(joined, pixels[:, :, channel], atol=1e-3)


def test_a_tile_is_a_record_of_its_own():
    pixels = _pixels(HEIGHT, WIDTH, 3)
    pixels[:16, :16] = 51
    record, tile = _cut(_record(pixels, label=0, defect_type="good", span=3), pixels)[0]
    assert (record.filename, record.format, record.span) == ("test/cut/1.tif#0,0", "tiff", 3)
    assert (record.height, record.width, record.channels) == (SIDE, SIDE, 3)
    assert (record.label, record.defect_type, record.mask) == (0, "good", None)
    assert (record.brightness, record.contrast, record.sharpness) == pytest.approx((0.2, 0, 0))
    assert source_name(record.filename) == "test/cut/1.tif"
    # What the networks see of it is the box mean of these pixels.
    seen = decode_image(tf.constant(record.image), ImageSpec(8, 3, "tiles", tile_size=SIDE)).numpy()
    np.testing.assert_array_equal(
        seen, np.rint(tile.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3), dtype=np.float64))
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "1", "I;16"])
def test_the_mask_says_which_tiles_are_anomalous(mode):
    mask = _mask()
    # An opaque alpha is no defect; a bit of a mask of one bit is.
    image = Image.fromarray(
        np.where(mask[:, :, 0], 255, 0).astype(np.uint8) if mode == "1" else mask[:, :, 0]
    )
    file = io.BytesIO()
    (Image.fromarray(mask[:, :, 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)).save(
        file, "PNG"
    )
    pixels = _pixels(HEIGHT, WIDTH, 1)
    tiles = _cut(_record(pixels, label=1, defect_type="cut", mask=file.getvalue()), pixels)
    spec = ImageSpec(SIDE, 1, "tiles")
    seen = set()
    for record, _ in tiles:
        top, left = map(int, record.filename.rpartition("#")[2].split(","))
        here = mask[top : top + SIDE, left : left + SIDE] > 0
        seen.add(bool(here.any()))
        if not here.any():
            assert (record.label, record.defect_type, record.mask) == (0, "good", None)
            continue
        assert (record.label, record.defect_type) == (1, "cut")
        np.testing.assert_array_equal(decode_mask(tf.constant(record.mask), spec), here)
    assert seen == {True, False}


def test_without_a_mask_nobody_knows_where_the_defect_is():
    pixels = _pixels(HEIGHT, WIDTH, 1)
    for record, _ in _cut(_record(pixels, label=1, defect_type="cut"), pixels):
        assert (record.label, record.defect_type, record.mask) == (None, "", None)


def test_the_mask_of_a_small_image_is_mirrored_with_it():
    pixels, mask = _pixels(5, 9, 1), np.zeros((5, 9, 1), np.uint8)
    mask[4, 8] = 255
    [(record, tile)] = _cut(_record(pixels, label=1, defect_type="cut", mask=_png(mask)), pixels)
    padding = [(0, SIDE - 5), (0, SIDE - 9), (0, 0)]
    np.testing.assert_array_equal(tile, np.pad(pixels, padding, mode="reflect"))
    np.testing.assert_array_equal(_opened(record.mask), np.pad(mask, padding, mode="reflect"))
