"""Geometry against NumPy: exact box means, crop, pad and stretch, and the mask beside its image."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.geometry import fit_image, fit_mask
from proganomaly.components.images.spec import ImageSpec


def _box_mean(image, resolution):
    rows, columns = image.shape[0] // resolution, image.shape[1] // resolution
    boxes = image.reshape(resolution, rows, resolution, columns, -1).astype(np.float64)
    return np.rint(boxes.mean(axis=(1, 3))).astype(np.uint8)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 6, 7, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_whole_reductions_equal_the_float64_box_mean(factor, channels):
    rng = np.random.default_rng(factor)
    image = rng.integers(0, 256, (16 * factor, 16 * factor, channels), dtype=np.uint8)
    fitted = fit_image(tf.constant(image), ImageSpec(16, channels)).numpy()
    np.testing.assert_array_equal(fitted, _box_mean(image, 16))


@pytest.mark.parametrize(("total", "expected"), [(90, 2), (126, 4), (18, 0), (54, 2)])
def test_ties_are_rounded_half_to_even(total, expected):
    # 36 pixels per box: 90 / 36 = 2.5, 126 / 36 = 3.5, 18 / 36 = 0.5, 54 / 36 = 1.5.
    box = np.zeros(36, np.uint8)
    box[: total % 36] += 1
    box += total // 36
    image = np.tile(box.reshape(6, 6), (4, 4))[:, :, np.newaxis]
    assert set(fit_image(tf.constant(image), ImageSpec(4, 1)).numpy().ravel()) == {expected}


def test_whole_stretch_is_exact_with_a_factor_per_axis():
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    fitted = fit_image(tf.constant(image), ImageSpec(8, 3, "stretch")).numpy()
    np.testing.assert_array_equal(fitted, _box_mean(image, 8))


def _squares(height, width):
    """The square that each fit makes, by NumPy slicing alone."""
    image = np.random.default_rng(1).integers(1, 256, (height, width, 1), dtype=np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    side_padded = max(height, width)
    padded = np.zeros((side_padded, side_padded, 1), np.uint8)
    above, before = (side_padded - height) // 2, (side_padded - width) // 2
    padded[above : above + height, before : before + width] = image
    return image, {"crop": image[top : top + side, left : left + side], "pad": padded, "stretch": image}


@pytest.mark.parametrize("size", [(37, 50), (50, 37), (16, 33), (9, 9)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_other_sizes_are_area_means_of_the_right_square(size, fit):
    image, squares = _squares(*size)
    spec = ImageSpec(8, 1, fit)
    fitted = fit_image(tf.constant(image), spec).numpy()
    # Repeating every pixel makes the reduction whole without moving any area.
    repeated = squares[fit].repeat(8, axis=0).repeat(8, axis=1)
    difference = np.abs(fitted.astype(int) - _box_mean(repeated, 8).astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.02


def test_enlarging_by_two_repeats_pixels():
    image = np.random.default_rng(2).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    fitted = fit_image(tf.constant(image), ImageSpec(8, 3)).numpy()
    np.testing.assert_array_equal(fitted, image.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64), (64, 128)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_mask_goes_the_way_of_its_image(size, fit):
    height, width = size
    mask = np.zeros((height, width, 1), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    spec = ImageSpec(16, 1, fit)
    image = fit_image(tf.constant(mask * 255), spec).numpy()
    fitted = fit_mask(tf.constant(mask), spec).numpy()
    assert set(np.unique(fitted)) == {0, 1}
    # Where the image is all of one kind, the mask says the same.
    np.testing.assert_array_equal(fitted[image == 255], 1)
    np.testing.assert_array_equal(fitted[image == 0], 0)


def test_shapes_are_known_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def fit(image):
        fitted = fit_image(image, ImageSpec(8, 3))
        assert fitted.shape == [8, 8, 3]
        return fitted

    image = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit(image), _box_mean(image, 8))


@pytest.mark.parametrize("side", [24, 8])
@pytest.mark.parametrize("graph", [False, True])
def test_a_tile_is_resized_as_any_square(side, graph):
    image = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    fit = tf.function(fit_image) if graph else fit_image
    fitted = fit(tf.constant(image), ImageSpec(8, 3, "tiles", tile_size=24)).numpy()
    np.testing.assert_array_equal(fitted, _box_mean(image, 8))


@pytest.mark.parametrize("height, width", [(24, 40), (40, 40), (16, 16), (8, 24)])
@pytest.mark.parametrize("graph", [False, True])
def test_what_is_no_tile_is_refused_with_its_size(height, width, graph):
    fit = tf.function(fit_image) if graph else fit_image
    message = f"an image of {width} x {height} pixels is no tile of 24 x 24: the signature `tiles`"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        fit(tf.zeros([height, width, 1], tf.uint8), ImageSpec(8, 1, "tiles", tile_size=24))
