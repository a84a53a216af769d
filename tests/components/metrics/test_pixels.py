"""Measures of pixels: by hand, by their definition, and how little is lost where memory is bounded."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label
from sklearn import metrics

from proganomaly.components.metrics import pixels
from proganomaly.components.metrics.pixels import PIXEL_MEASURES, PixelCounter, combined


def count(masks, maps, batch_size=None):
    counter = PixelCounter()
    step = batch_size or max(1, len(masks))
    for start in range(0, len(masks), step):
        counter.add(masks[start : start + step], maps[start : start + step])
    return counter.counts()


def aupro(masks, maps, max_fpr=0.3):
    return count(masks, maps).aupro(max_fpr)


def slow_aupro(masks, maps, max_fpr=0.3):
    """AUPRO by its definition: a loop over thresholds, and in it a loop over regions."""
    regions = []
    for number, mask in enumerate(masks):
        labelled = label(mask, connectivity=2)
        regions += [(number, labelled == region) for region in range(1, labelled.max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        fpr = np.mean(above[masks == 0])
        points.append((fpr, np.mean([np.mean(above[number][region]) for number, region in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 > max_fpr:
            area += (max_fpr - x0) * (y0 + (y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0))) / 2
            break
        area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


def random_case(seed, distinct):
    """Blobs as masks; noise, somewhat higher within the blobs and rounded to `distinct` steps, as maps."""
    rng = np.random.default_rng(seed)
    masks = (ndimage.gaussian_filter(rng.normal(size=(4, 16, 12)), (0, 1.5, 1.5)) > 0.25).astype(np.uint8)
    masks[0] = 0
    maps = np.round((rng.random(masks.shape) + 0.3 * masks) * distinct) / distinct
    return masks, maps.astype(np.float32)


def large_case(kind):
    """A hundred thousand distinct scores, some hundred pixels of them defective."""
    rng = np.random.default_rng(0)
    masks = np.zeros((24, 64, 64), bool)
    for image, (row, column) in enumerate(rng.integers(0, 50, (6, 2)), start=18):
        masks[image, row : row + 3 + image % 5, column : column + 8] = True
    maps = rng.normal(size=masks.shape).astype(np.float32)
    if kind == "heavy tail":
        maps = np.where(masks, 30, 1) * np.exp(4 * maps)
    elif kind == "clear":
        maps += 5 * masks
    elif kind == "few but clear":
        masks = ndimage.binary_erosion(masks, np.ones((1, 3, 5)))
        maps += 3.5 * masks
    elif kind == "many ties":
        maps = np.maximum(maps + masks, 0)
    elif kind == "rising":
        maps = np.sort((maps + masks).ravel()).reshape(maps.shape)
    return masks, maps


def exact(masks, maps):
    return {
        "pixel_auroc": metrics.roc_auc_score(masks.ravel(), maps.ravel()),
        "pixel_average_precision": metrics.average_precision_score(masks.ravel(), maps.ravel()),
    }


def test_pixel_auroc_pools_all_pixels():
    masks = np.array([[[1, 0]], [[0, 0]]])
    # Within its own image the defect stands out; over both images, two of three sound pixels score higher.
    measured = count(masks, np.array([[[0.5, 0.1]], [[0.8, 0.9]]])).measures()
    assert measured["pixel_auroc"] == pytest.approx(1 / 3)
    assert measured["pixel_average_precision"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("distinct", [4, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_measures_are_scikit_learns_and_aupro_equals_its_definition(seed, distinct):
    masks, maps = random_case(seed, distinct)
    measured = count(masks, maps, batch_size=3).measures()
    assert measured == pytest.approx({**exact(masks, maps), "aupro": slow_aupro(masks, maps)})
    for max_fpr in (0.05, 1.0):
        assert aupro(masks, maps, max_fpr) == pytest.approx(slow_aupro(masks, maps, max_fpr))


def test_aupro_of_perfect_and_constant_maps():
    masks, _ = random_case(0, 4)
    assert aupro(masks, masks.astype(float)) == pytest.approx(1)
    assert aupro(masks, 1.0 - masks) == pytest.approx(0)
    # One threshold only: a straight line from (0, 0) to (1, 1), of area .3² / 2 up to .3.
    assert aupro(masks, np.zeros(masks.shape)) == pytest.approx(0.15)


def test_aupro_counts_each_region_alike():
    masks = np.zeros((2, 8, 8), int)
    masks[0, 0, 0] = 1
    masks[1, :, :4] = 1
    found_small = np.zeros(masks.shape)
    found_small[0, 0, 0] = 1
    # Half of the two regions at FPR 0, then a straight line up to (1, 1).
    assert aupro(masks, found_small) == pytest.approx((0.5 + 0.65) / 2)


def test_aupro_takes_diagonal_neighbours_as_one_region_and_images_apart():
    diagonal = np.zeros((1, 4, 4), int)
    diagonal[0, 0, 0] = diagonal[0, 1, 1] = diagonal[0, 3, 3] = 1
    maps = np.zeros((1, 4, 4))
    maps[0, 3, 3] = 1
    assert aupro(diagonal, maps) == pytest.approx((0.5 + 0.65) / 2)
    # The same pixel in two images makes two regions, not one that runs through the stack.
    stacked = np.zeros((2, 4, 4), int)
    stacked[:, 0, 0] = 1
    stacked[0, 0, 1] = 1
    maps = np.zeros((2, 4, 4))
    maps[1, 0, 0] = 1
    assert aupro(stacked, maps) == pytest.approx((0.5 + 0.65) / 2)


@pytest.mark.parametrize("kind", ["noise", "heavy tail", "clear", "few but clear", "many ties", "rising"])
def test_bounded_memory_loses_next_to_nothing(kind, monkeypatch):
    masks, maps = large_case(kind)
    everything = count(masks, maps).measures()
    assert everything == pytest.approx(everything | exact(masks, maps))
    # A hundredth of the shares, and of the pixels that are held: what a hundred times as many would be.
    monkeypatch.setattr(pixels, "_HELD", 2**13)
    monkeypatch.setattr(pixels, "_SHARES", 2**9)
    counter = PixelCounter()
    for start in range(0, 24, 2):
        counter.add(masks[start : start + 2], maps[start : start + 2])
        assert sum(len(table.scores) for _, table in counter._tables) < 20_000
    bounded = counter.counts()
    assert len(bounded.scores) < 0.3 * maps.size
    assert bounded.measures() == pytest.approx(everything, abs=2e-4)
    assert bounded.sound.sum() == np.sum(masks == 0) and bounded.defective.sum() == np.sum(masks)
    assert bounded.regions == 6 == pytest.approx(bounded.overlap.sum(), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), split=st.integers(1, 3), batch_size=st.integers(1, 4))
def test_batches_and_parts_make_no_difference(seed, split, batch_size):
    masks, maps = random_case(seed, 50)
    parts = combined([count(masks[:split], maps[:split], batch_size), count(masks[split:], maps[split:])])
    assert parts.measures() == pytest.approx(count(masks, maps).measures())


@given(seed=st.integers(0, 50), scale=st.floats(0.1, 10), power=st.sampled_from([1, 3, 5]))
def test_measures_depend_on_the_order_of_scores_alone(seed, scale, power):
    masks, maps = random_case(seed, 20)
    moved = scale * maps.astype(np.float64) ** power - 3
    assert count(masks, moved).measures() == pytest.approx(count(masks, maps).measures())


@pytest.mark.parametrize("value", [0, 1])
def test_masks_of_one_kind_are_undefined(value):
    counts = count(np.full((2, 4, 4), value), np.random.default_rng(0).random((2, 4, 4)))
    assert counts.measures() == dict.fromkeys(PIXEL_MEASURES)
    assert counts.aupro() is None


def test_no_images_are_undefined():
    assert PixelCounter().counts().measures() == dict.fromkeys(PIXEL_MEASURES)


def test_impossible_input_is_refused():
    masks, maps = random_case(0, 4)
    with pytest.raises(ValueError, match="max_fpr must be above 0 and at most 1; received 0"):
        count(masks, maps).aupro(max_fpr=0)
    with pytest.raises(ValueError, match=r"\[N, H, W\]; received \(16, 12\)"):
        PixelCounter().add(masks[0], maps[0])
    with pytest.raises(ValueError, match="same shape"):
        PixelCounter().add(masks, maps[1:])
    with pytest.raises(ValueError, match="0 or 1"):
        PixelCounter().add(masks + 1, maps)
    with pytest.raises(ValueError, match="finite"):
        PixelCounter().add(masks, np.full(masks.shape, np.nan))
