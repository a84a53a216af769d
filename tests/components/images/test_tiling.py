"""Tiles of images of any size: every pixel covered, maps stitched back, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.images import tiling

SIDE = 8
LENGTHS = st.integers(1, 40)
OVERLAPS = st.floats(0, 0.75)


def _starts(length: int, overlap: float) -> list[int]:
    """Steps until the end is reached; the last step is shortened."""
    begins = [0]
    while begins[-1] + SIDE < length:
        begins.append(min(begins[-1] + max(1, SIDE - round(overlap * SIDE)), length - SIDE))
    return begins


def _stitched(maps: np.ndarray, height: int, width: int, overlap: float) -> np.ndarray:
    """Adds tile after tile, and divides by the weights, in float64."""
    window = np.minimum(np.arange(SIDE) + 1, SIDE - np.arange(SIDE))
    window = np.outer(window, window).astype(np.float64)
    total, weights = np.zeros((2, max(height, SIDE), max(width, SIDE)))
    tiles = iter(maps)
    for top in _starts(height, overlap):
        for left in _starts(width, overlap):
            place = np.s_[top : top + SIDE, left : left + SIDE]
            total[place] += next(tiles) * window
            weights[place] += window
    return (total / weights)[:height, :width]


@tf.function(
    input_signature=[tf.TensorSpec([None, None, None], tf.float32), *[tf.TensorSpec([], tf.int32)] * 2]
)
def _stitch_quarter(maps, height, width):
    return tiling.stitch(tf.ensure_shape(maps, [None, SIDE, SIDE]), height, width, 0.25)


@given(LENGTHS, OVERLAPS)
def test_every_pixel_is_covered_and_neighbours_overlap_as_stated(length, overlap):
    begins = tiling.starts(tf.constant(length), SIDE, overlap).numpy()
    assert begins.tolist() == _starts(length, overlap)
    covered = (begins[:, None] + np.arange(SIDE)).ravel()
    assert set(range(length)) <= set(covered)
    assert covered.max() == max(length, SIDE) - 1
    assert np.all(SIDE - np.diff(begins) >= round(overlap * SIDE))


def test_tiles_are_numbered_row_by_row_and_the_last_ones_are_shifted_inwards():
    corners = tiling.tile_corners(tf.constant(20), tf.constant(13), SIDE, 0.25).numpy()
    assert corners.tolist() == [[0, 0], [0, 5], [6, 0], [6, 5], [12, 0], [12, 5]]


@given(LENGTHS, LENGTHS)
def test_small_images_are_mirrored_as_numpy_does(height, width):
    image = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)
    mirrored = tiling.mirrored_to(tf.constant(image), SIDE)
    padding = [(0, max(0, SIDE - height)), (0, max(0, SIDE - width)), (0, 0)]
    np.testing.assert_array_equal(mirrored, np.pad(image, padding, mode="reflect"))
    assert mirrored.dtype == tf.uint8


@given(LENGTHS, LENGTHS, OVERLAPS)
def test_the_tiles_of_a_map_give_it_back(height, width, overlap):
    original = np.random.default_rng(height * 41 + width).normal(size=(height, width)).astype(np.float32)
    size = tf.constant(height), tf.constant(width)
    corners = tiling.tile_corners(*size, SIDE, overlap)
    tiles = tiling.cut(tiling.mirrored_to(tf.constant(original[..., None]), SIDE), corners, SIDE)
    stitched = tiling.stitch(tiles[..., 0], *size, overlap)
    np.testing.assert_allclose(stitched, original, atol=1e-6)


@given(LENGTHS, LENGTHS, OVERLAPS)
def test_any_maps_are_stitched_as_numpy_does(height, width, overlap):
    count = len(_starts(height, overlap)) * len(_starts(width, overlap))
    maps = np.random.default_rng(count).normal(size=(count, SIDE, SIDE)).astype(np.float32)
    stitched = tiling.stitch(tf.constant(maps), tf.constant(height), tf.constant(width), overlap)
    np.testing.assert_allclose(stitched, _stitched(maps, height, width, overlap), atol=1e-6)


@pytest.mark.parametrize("height, width", [(8, 8), (20, 17), (3, 30)])
def test_one_graph_takes_any_size(height, width):
    count = len(_starts(height, 0.25)) * len(_starts(width, 0.25))
    maps = np.random.default_rng(1).normal(size=(count, SIDE, SIDE)).astype(np.float32)
    stitched = _stitch_quarter(tf.constant(maps), tf.constant(height), tf.constant(width))
    np.testing.assert_allclose(stitched, _stitched(maps, height, width, 0.25), atol=1e-6)


def test_a_step_between_two_tiles_becomes_a_ramp():
    # The one tile says 0, the next one 1: in the four pixels that both cover, fifths.
    maps = tf.stack([tf.zeros([SIDE, SIDE]), tf.ones([SIDE, SIDE])])
    row = tiling.stitch(maps, tf.constant(SIDE), tf.constant(12), 0.5).numpy()[3]
    np.testing.assert_allclose(row, [0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["part.png", "shard.tfrecord#17", "a#b,c"])
def test_a_tile_is_named_after_its_image(name):
    assert tiling.tile_name(name, 96, 0) == f"{name}#96,0"
    assert tiling.source_name(f"{name}#96,0") == name == tiling.source_name(name)
