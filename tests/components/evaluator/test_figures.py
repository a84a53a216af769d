"""The pictures: sizes, what is outlined, what is hot."""

import io

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.evaluator import figures


def _open(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("resolution, side", [(4, 160), (64, 192), (256, 256), (1024, 256)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_strip_has_four_panels_of_a_useful_size(resolution, side, channels):
    image = np.full((resolution, resolution, channels), 100, np.uint8)
    image[:, :, 3:] = 255
    mask = np.zeros((resolution, resolution), np.uint8)
    mask[0, 0] = 1
    maps = np.zeros((resolution, resolution), np.float32)
    row = _open(figures.strip(image, image, maps, mask, (0.0, 1.0)))
    assert row.shape == (side, 4 * side + 12, 3)
    last = row[:, -side:]
    assert (last != 100).any() and (row[:, :side] == 100).all()
    assert _open(figures.strip(image, image, maps, None, (0.0, 1.0))).shape == (side, 3 * side + 8, 3)


def test_overlay_is_grey_where_cold_and_bright_where_hot():
    image = np.full((16, 16, 3), (200, 100, 0), np.uint8)
    maps = np.zeros((16, 16), np.float32)
    maps[:8] = 5
    overlay = _open(figures.strip(image, image, maps, None, (0.0, 1.0)))[:, -160:]
    np.testing.assert_array_equal(overlay[-1], np.full((160, 3), 100))
    assert (overlay[0] @ [1, 1, 0] > 400).all()


def test_heat_range_comes_from_normal_images():
    ramp = np.linspace(0, 1, 10000).reshape(1, 100, 100)
    assert figures.heat_range(ramp, np.array([0])) == pytest.approx((0.5, 1.5), abs=0.01)
    maps = np.concatenate([ramp, np.full((2, 100, 100), 9.0)])
    assert figures.heat_range(maps, np.array([0, 1, 1])) == pytest.approx((0.5, 1.5), abs=0.01)
    cold, hot = figures.heat_range(np.zeros((2, 4, 4)), np.array([-1, -1]))
    assert hot > cold == 0


def test_plots_are_pictures():
    labels, scores = np.array([0, 0, 1, 1, -1]), np.array([0.1, 0.5, 0.4, 0.9, 0.2])
    for png in (
        figures.score_histogram(labels, scores, 0.45),
        figures.score_histogram(np.zeros(3, int), np.ones(3), 1.0),
        figures.score_histogram(labels, 100 * scores, 2.0, (1.0, 300.0), "synthetic defects"),
        figures.roc_curve(labels[:4], scores[:4], 0.45),
    ):
        assert _open(png).std() > 5


def test_a_heatmap_of_a_large_image_has_its_size():
    image = np.full((30, 70, 1), 100, np.uint8)
    maps = np.zeros((30, 70), np.float32)
    maps[10:20, 40:60] = 5
    picture = _open(figures.heatmap(image, maps, (0.0, 1.0)))
    assert picture.shape == (30, 70, 3)
    np.testing.assert_array_equal((picture != 100).any(axis=2), maps > 0)


def test_a_huge_heatmap_is_reduced_and_keeps_the_smallest_defect():
    image = np.full((30, 70, 3), 100, np.uint8)
    maps = np.zeros((30, 70), np.float32)
    maps[29, 69] = 5
    picture = _open(figures.heatmap(image, maps, (0.0, 1.0), longest=20))
    assert picture.shape == (8, 18, 3)
    assert (picture[-1, -1] @ [1, 1, 0] > 400).all()
    assert (picture != 100).any(axis=2).sum() == 1


def test_heat_range_of_many_maps_looks_at_a_part_of_them(monkeypatch):
    ramp = np.linspace(0, 1, 10000).reshape(1, 100, 100).repeat(8, axis=0)
    monkeypatch.setattr(figures, "_MOST_PIXELS", 20_000)
    assert figures.heat_range(ramp, np.zeros(8, int)) == pytest.approx((0.5, 1.5), abs=0.01)
