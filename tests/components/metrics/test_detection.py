import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import f1_score

from proganomaly.components.metrics.detection import (
    aupro,
    average_precision,
    f1_max,
    image_auroc,
    pixel_auroc,
)

MEASURES_OF_IMAGES = (image_auroc, average_precision, f1_max)


def slow_aupro(masks, maps, max_fpr):
    """AUPRO by its definition: a loop over thresholds, and in it a loop over regions."""
    regions = []
    for number, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(number, labelled == region) for region in range(1, count + 1)]
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


def test_image_auroc_is_the_share_of_pairs_in_order_with_ties_as_half():
    # Pairs (anomalous, normal): .8 beats .1, .4, .4; .4 beats .1 and ties twice: 3 + 1 + 2 / 2 = 5 of 6.
    assert image_auroc([1, 0, 0, 1, 0], [0.8, 0.1, 0.4, 0.4, 0.4]) == pytest.approx(5 / 6)


def test_average_precision_by_hand():
    # Recall goes up by 1/2 at precision 1/1 and by 1/2 at precision 2/3.
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(0.5 + 0.5 * 2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_f1_max_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 40)
    scores = np.round(rng.random(40), 1)
    best = max(f1_score(labels, scores >= threshold) for threshold in scores)
    assert f1_max(labels, scores) == pytest.approx(best)


def test_f1_max_when_a_normal_image_scores_highest():
    assert f1_max([0, 1], [2.0, 1.0]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("measure", MEASURES_OF_IMAGES)
@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_alone_is_undefined(measure, labels):
    assert measure(labels, np.arange(len(labels), dtype=float)) is None


@pytest.mark.parametrize("value", [0, 1])
def test_masks_of_one_kind_are_undefined(value):
    masks = np.full((2, 4, 4), value)
    assert pixel_auroc(masks, np.random.default_rng(0).random((2, 4, 4))) is None
    assert aupro(masks, np.random.default_rng(0).random((2, 4, 4))) is None


def test_pixel_auroc_pools_all_pixels():
    masks = np.array([[[1, 0]], [[0, 0]]])
    # Within its own image the defect stands out; over both images, two of three sound pixels score higher.
    assert pixel_auroc(masks, np.array([[[0.5, 0.1]], [[0.8, 0.9]]])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("distinct", [4, 1000])
@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_aupro_equals_its_definition(seed, max_fpr, distinct):
    masks, maps = random_case(seed, distinct)
    assert aupro(masks, maps, max_fpr) == pytest.approx(slow_aupro(masks, maps, max_fpr), abs=1e-9)


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


@given(
    seed=st.integers(0, 50),
    scale=st.floats(0.1, 10),
    power=st.sampled_from([1, 3, 5]),
    shift=st.floats(-5, 5),
)
def test_measures_depend_on_the_order_of_scores_alone(seed, scale, power, shift):
    masks, maps = random_case(seed, 20)
    moved = scale * maps.astype(np.float64) ** power + shift
    assert aupro(masks, moved) == pytest.approx(aupro(masks, maps))
    assert pixel_auroc(masks, moved) == pytest.approx(pixel_auroc(masks, maps))
    labels, scores = masks[1].ravel(), maps[1].ravel()
    for measure in MEASURES_OF_IMAGES:
        assert measure(labels, moved[1].ravel()) == pytest.approx(measure(labels, scores))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1], "same shape"),
        ([0, 2], [0.1, 0.2], "0 or 1"),
        ([-1, 1], [0.1, 0.2], "0 or 1"),
        ([0, 1], [0.1, np.nan], "1 are not"),
        ([0, 1], [np.inf, 0.1], "finite"),
    ],
)
def test_impossible_input_is_refused(labels, scores, message):
    for measure in MEASURES_OF_IMAGES:
        with pytest.raises(ValueError, match=message):
            measure(labels, scores)


def test_aupro_refuses_impossible_arguments():
    masks, maps = random_case(0, 4)
    with pytest.raises(ValueError, match="max_fpr must be above 0 and at most 1; received 0"):
        aupro(masks, maps, max_fpr=0)
    with pytest.raises(ValueError, match=r"\[N, H, W\]; received \(16, 12\)"):
        aupro(masks[0], maps[0])
