"""Pixel thresholds against distributions whose quantile is known, and images whose pixels hang together."""

import numpy as np
import pytest
import scipy.stats

from proganomaly.components.model.pixel_threshold import PixelSample


def _threshold(maps, rate=0.01, **options):
    sample = PixelSample(**options)
    sample.add(maps)
    return sample.threshold(rate)


def test_the_threshold_is_the_quantile_of_all_pixels():
    maps = np.random.default_rng(0).normal(size=(50, 16, 16))
    threshold = _threshold(maps)
    assert threshold.value == pytest.approx(np.quantile(maps, 0.99))
    assert threshold.low < threshold.value < threshold.high
    assert threshold.images == 50 and threshold.rate == 0.01
    # Pixels that do not hang together are all worth their count.
    assert 0.3 < threshold.independent_pixels / maps.size < 3


def test_the_interval_covers_the_true_value_though_pixels_hang_together():
    random, calls, rate = np.random.default_rng(1), 200, 0.05
    truth = scipy.stats.norm(scale=np.sqrt(2)).isf(rate)
    covered, narrow = 0, 0
    for _ in range(calls):
        maps = random.normal(size=(40, 1, 1)) + random.normal(size=(40, 12, 12))
        threshold = _threshold(maps, rate)
        covered += threshold.low <= truth <= threshold.high
        # What an interval would be that takes each pixel for an image of its own.
        ranks = scipy.stats.binom.ppf([0.025, 0.975], maps.size, rate)
        low, high = np.quantile(maps, 1 - ranks[::-1] / maps.size)
        narrow += low <= truth <= high
    assert covered >= scipy.stats.binom.ppf(1e-3, calls, 0.93)
    assert narrow < 0.7 * calls


def test_few_pixels_of_each_image_say_nearly_the_same():
    maps = np.random.default_rng(2).normal(size=(200, 32, 32)).astype(np.float32)
    few = _threshold(maps, 0.05, pixels=100)
    assert few.value == pytest.approx(_threshold(maps, 0.05).value, abs=0.1)


def test_memory_is_bounded_and_batches_make_no_difference():
    maps = np.random.default_rng(3).normal(size=(60, 8, 8))
    at_once, in_parts = PixelSample(images=20, pixels=16), PixelSample(images=20, pixels=16)
    at_once.add(maps)
    for part in (maps[:7], maps[7:8], maps[8:]):
        in_parts.add(part)
    assert at_once.threshold(0.05) == in_parts.threshold(0.05)
    assert at_once.threshold(0.05).images == 20


def test_too_few_images_for_a_rate_are_told():
    random = np.random.default_rng(4)
    one_value_each = np.tile(random.normal(size=(30, 1, 1)), (1, 8, 8))
    text = _threshold(one_value_each, 0.01).shortage()
    assert text.startswith("calibration maps of 30 images say as much as ")
    assert text.endswith("of 1 % needs at least 100: the pixel threshold is uncertain")
    assert _threshold(random.normal(size=(30, 8, 8)), 0.01).shortage() == ""


def test_maps_without_any_difference_have_their_value_as_threshold():
    threshold = _threshold(np.full((5, 4, 4), 2.0))
    assert (threshold.low, threshold.value, threshold.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("maps", [np.zeros((1, 4, 4)), np.full((3, 4, 4), np.nan)])
def test_one_image_or_broken_maps_are_refused(maps):
    with pytest.raises(ValueError, match="finite maps of two or more images"):
        _threshold(maps)
