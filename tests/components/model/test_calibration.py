"""Calibrations against scipy's distributions and fresh samples of the same one."""

import json

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given

from proganomaly.components.model.calibration import calibrate

DISTRIBUTIONS = {
    "normal": scipy.stats.norm(3.0, 0.5),
    "skewed": scipy.stats.gamma(2.0),
    "exponential": scipy.stats.expon(-1.0, 4.0),
    "heavy": scipy.stats.t(5),
    "tiny": scipy.stats.norm(1e-3, 1e-4),
}
# Multiples of 1/8, so that ties are common and differences are not lost in float32.
SCORES = hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(-800, 800)).map(lambda x: x / 8)


def _p(calibration, scores) -> np.ndarray:
    return calibration.p_value(tf.constant(scores, tf.float32)).numpy()


@pytest.fixture(params=DISTRIBUTIONS)
def distribution(request):
    return DISTRIBUTIONS[request.param]


def test_p_values_are_the_survival_function_of_the_distribution(distribution):
    calibration = calibrate(distribution.rvs(20_000, random_state=1))
    quantiles = distribution.isf([0.9, 0.5, 0.2, 0.1, 0.03, 0.01])
    np.testing.assert_allclose(_p(calibration, quantiles), distribution.sf(quantiles), rtol=0.15)
    p_values = _p(calibration, distribution.rvs(20_000, random_state=2))
    assert scipy.stats.kstest(p_values, "uniform").statistic < 0.03


@pytest.mark.parametrize("images, rate", [(20, 0.05), (40, 0.01), (100, 0.01), (100, 0.001), (1000, 0.01)])
def test_many_calibrations_have_the_stated_false_positive_rate_on_average(images, rate):
    distribution = DISTRIBUTIONS["exponential"]
    samples = distribution.rvs((1500, images), random_state=3)
    realised = distribution.sf([calibrate(sample).threshold(rate) for sample in samples])
    assert abs(realised.mean() - rate) < 4 * scipy.stats.sem(realised)


@pytest.mark.parametrize("images, rate", [(40, 0.05), (40, 0.01), (100, 0.01), (1000, 0.001)])
def test_the_rate_is_about_right_where_the_tail_is_not_exponential(distribution, images, rate):
    samples = distribution.rvs((600, images), random_state=4)
    realised = distribution.sf([calibrate(sample).threshold(rate) for sample in samples])
    assert 0.35 < realised.mean() / rate < 1.7


@pytest.mark.parametrize("rate", [0.9, 0.5, 0.1, 0.01, 1e-4])
@pytest.mark.parametrize("images", [2, 7, 200])
def test_the_p_value_at_the_threshold_is_the_rate(distribution, rate, images):
    calibration = calibrate(distribution.rvs(images, random_state=5))
    expected = min(rate, images / (images + 1))
    np.testing.assert_allclose(_p(calibration, [calibration.threshold(rate)]), [expected], rtol=1e-2)


@pytest.mark.parametrize("images", [2, 7, 200])
def test_thresholds_in_a_graph_are_those_outside(distribution, images):
    calibration = calibrate(distribution.rvs(images, random_state=5))
    rates = [0.999, 0.5, 0.1, 0.01, 1e-4, 1e-9]
    found = tf.function(calibration.thresholds)(tf.constant(rates))
    expected = [calibration.threshold(rate) for rate in rates]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * calibration.scale)


@given(SCORES, hnp.arrays(np.float32, 30, elements=st.floats(-300, 300, width=32)))
def test_p_values_fall_as_scores_rise(scores, asked):
    p_values = _p(calibrate(scores), np.sort(asked))
    # Equal scores may differ in the last bit: vectorized and single exponentials do.
    assert np.all(np.diff(p_values) <= 1e-7)
    assert np.all((p_values > 0) & (p_values < 1))


def test_scores_above_every_calibration_image_do_not_tie(distribution):
    calibration = calibrate(distribution.rvs(100, random_state=6))
    beyond = calibration.median + calibration.scale * np.geomspace(3, 1000, 500)
    p_values = _p(calibration, beyond)
    assert np.all(np.diff(p_values) < 0)
    assert p_values[-1] > 0


@given(SCORES, st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
def test_a_lower_rate_has_a_higher_threshold(scores, one, two):
    calibration = calibrate(scores)
    low, high = sorted([one, two])
    assert calibration.threshold(low) >= calibration.threshold(high)


@given(SCORES)
def test_at_scores_below_the_tail_the_p_value_is_the_conformal_one(scores):
    calibration = calibrate(scores)
    knots = calibration.knots
    expected = [np.sum(scores >= knot) / (len(scores) + 1) for knot in knots]
    np.testing.assert_allclose(_p(calibration, knots), expected, atol=1e-6)


def test_the_tail_is_a_generalized_pareto_law():
    calibration = calibrate(DISTRIBUTIONS["skewed"].rvs(100, random_state=7))
    start, highest = calibration.knots[-1], calibration.tail_images
    scores = start + np.linspace(0, 30, 50)
    tail = scipy.stats.genpareto(1 / highest, loc=start, scale=calibration.tail_scale)
    expected = (highest + 1) / 101 * tail.sf(scores)
    np.testing.assert_allclose(_p(calibration, scores), expected, rtol=1e-3)


def test_robust_z_of_a_normal_sample_is_the_plain_one():
    scores = DISTRIBUTIONS["normal"].rvs(20_000, random_state=8)
    asked = np.array([2.0, 3.0, 3.5, 5.0, 50.0])
    z = calibrate(scores).robust_z(tf.constant(asked, tf.float32))
    np.testing.assert_allclose(z, (asked - 3.0) / 0.5, rtol=0.03, atol=0.03)


def test_robust_z_looks_at_high_scores_only_and_withstands_anomalies():
    skewed = scipy.stats.lognorm(1.0).rvs(2000, random_state=9)
    calibration = calibrate(skewed)
    by_deviation = (skewed - np.median(skewed)) / scipy.stats.median_abs_deviation(skewed, scale="normal")
    usual = float(calibration.robust_z(tf.constant(np.quantile(skewed, 0.95), tf.float32)))
    # 1.64 were the scores normal; the median absolute deviation calls the same normal image 4.7.
    assert 1.5 < usual < 2.7 < 4.0 < np.quantile(by_deviation, 0.95)
    contaminated = np.concatenate([skewed, np.full(200, 1e6)])
    assert calibrate(contaminated).scale < 2 * calibration.scale


def test_normalized_scores_rise_strictly_even_a_million_deviations_out():
    calibration = calibrate(DISTRIBUTIONS["normal"].rvs(200, random_state=10))
    far = np.geomspace(0.01, 1e6, 20_000)
    z = np.concatenate([-far[::-1], [0], far])
    normalized = calibration.normalized(tf.constant(z * calibration.scale + calibration.median, tf.float32))
    assert normalized.dtype == tf.float32
    assert np.all(np.diff(normalized) > 0)
    assert normalized[0] > 0 and normalized[-1] < 1
    np.testing.assert_allclose(normalized[20_000], 0.5, atol=1e-6)


@pytest.mark.parametrize("scores", [[2.0] * 5, [0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 5.0], [1.0, 2.0]])
def test_scores_that_hardly_vary_still_calibrate(scores):
    calibration = calibrate(np.array(scores))
    assert np.isfinite(calibration.threshold(0.01)) and calibration.threshold(0.01) > max(scores[:-1])
    assert np.isfinite(calibration.threshold_interval(0.01)).all()
    p_values = _p(calibration, [-10.0, scores[0], 1e9])
    assert np.isfinite(p_values).all()
    assert p_values[0] >= p_values[1] > 0.5 > 1e-6 > p_values[2] > 0
    normalized = calibration.normalized(tf.constant([scores[0], 1e9], tf.float32))
    assert 0.5 - 0.4 < normalized[0] < normalized[1] < 1


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, np.nan], [1.0, np.inf]])
def test_too_few_or_broken_scores_are_refused(scores):
    with pytest.raises(ValueError, match="two or more finite scores"):
        calibrate(np.array(scores))


# Without an assumption where the rate is within the sample; by the fitted tail beyond.
@pytest.mark.parametrize(
    "name, images, rate",
    [
        ("normal", 40, 0.05),
        ("normal", 40, 0.01),
        ("exponential", 20, 0.001),
        ("heavy", 100, 0.05),
        ("skewed", 300, 0.01),
        ("skewed", 1000, 0.5),
    ],
)
def test_the_interval_covers_the_true_threshold(name, images, rate):
    distribution, calls = DISTRIBUTIONS[name], 150
    truth = distribution.isf(rate)
    intervals = np.array(
        [
            calibrate(sample).threshold_interval(rate, confidence=0.9)
            for sample in distribution.rvs((calls, images), random_state=11)
        ]
    )
    covered = np.sum((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert covered >= scipy.stats.binom.ppf(1e-3, calls, 0.9)


@pytest.mark.parametrize("rate", [0.3, 0.05, 0.01, 1e-3])
@pytest.mark.parametrize("images", [5, 10, 40, 500])
def test_the_threshold_lies_within_its_interval(distribution, rate, images):
    calibration = calibrate(distribution.rvs(images, random_state=12))
    low, high = calibration.threshold_interval(rate)
    assert low <= calibration.threshold(rate) <= high
    assert (low, high) == calibration.threshold_interval(rate)
    narrow_low, narrow_high = calibration.threshold_interval(rate, confidence=0.5)
    assert low <= narrow_low <= narrow_high <= high


def test_more_images_make_the_interval_narrower():
    scores = DISTRIBUTIONS["normal"].rvs(10_000, random_state=13)
    widths = [np.ptp(calibrate(scores[:images]).threshold_interval(0.01)) for images in (100, 1000, 10_000)]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_too_few_images_for_a_rate_are_told():
    calibration = calibrate(np.arange(40.0))
    assert not calibration.supports(0.01) and calibration.supports(0.025)
    assert calibration.shortage(0.025) == ""
    assert calibration.shortage(0.01) == (
        "calibration has 40 images; a false-positive rate of 1 % needs at least 100: "
        "the threshold is extrapolated by a fitted tail"
    )
    assert calibrate(np.arange(100.0)).supports(0.01)


def test_the_description_is_json_of_what_was_fitted():
    calibration = calibrate(np.arange(41.0))
    described = json.loads(json.dumps(calibration.description()))
    # The highest ten, 31 to 40, lie 5.5 above 30 on average.
    assert described == {
        "images": 41,
        "median": 20.0,
        "scale": pytest.approx(0.3413 * 40),
        "tail_start": 30.0,
        "tail_scale": 5.5,
        "tail_images": 10,
    }
