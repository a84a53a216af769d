"""Calibrations against scipy's distributions and fresh samples of the same one."""

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
    "tiny": scipy.stats.norm(1e-3, 1e-4),
}
# Multiples of 1/8, so that ties are common and differences are not lost in float32.
SCORES = hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(-800, 800)).map(lambda x: x / 8)


def _p(calibration, scores) -> np.ndarray:
    return calibration.p_value(tf.constant(scores, tf.float32)).numpy()


@pytest.fixture(params=DISTRIBUTIONS)
def distribution(request):
    return DISTRIBUTIONS[request.param]


def test_p_values_of_fresh_normal_images_are_nearly_uniform(distribution):
    calibration = calibrate(distribution.rvs(2000, random_state=1))
    p_values = _p(calibration, distribution.rvs(20_000, random_state=2))
    statistic = scipy.stats.kstest(p_values, "uniform").statistic
    assert statistic < 0.03
    # And they are the distribution's own survival function, in the body and in the tail.
    quantiles = distribution.isf([0.9, 0.5, 0.2, 0.1, 0.03, 0.01])
    np.testing.assert_allclose(_p(calibration, quantiles), distribution.sf(quantiles), rtol=0.25)


@pytest.mark.parametrize("rate, tolerance", [(0.5, 0.03), (0.1, 0.02), (0.05, 0.015), (0.01, 0.005)])
def test_threshold_has_the_stated_false_positive_rate(distribution, rate, tolerance):
    calibration = calibrate(distribution.rvs(2000, random_state=3))
    fresh = distribution.rvs(100_000, random_state=4)
    assert abs(np.mean(fresh > calibration.threshold(rate)) - rate) < tolerance


@pytest.mark.parametrize("rate", [0.9, 0.5, 0.1, 0.01, 1e-4])
def test_the_p_value_at_the_threshold_is_the_rate(distribution, rate):
    calibration = calibrate(distribution.rvs(200, random_state=5))
    np.testing.assert_allclose(_p(calibration, [calibration.threshold(rate)]), [rate], rtol=1e-2)


@given(SCORES, hnp.arrays(np.float32, 30, elements=st.floats(-300, 300, width=32)))
def test_p_values_fall_as_scores_rise(scores, asked):
    p_values = _p(calibrate(scores), np.sort(asked))
    # Equal scores may differ in the last bit: vectorized and single exponentials do.
    assert np.all(np.diff(p_values) <= 1e-7)
    assert np.all((p_values > 0) & (p_values < 1))


@given(SCORES, st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
def test_a_lower_rate_has_a_higher_threshold(scores, one, two):
    calibration = calibrate(scores)
    low, high = sorted([one, two])
    assert calibration.threshold(low) >= calibration.threshold(high)


@given(SCORES)
def test_at_its_own_scores_the_p_value_is_the_empirical_one(scores):
    calibration = calibrate(scores)
    knots = calibration.knots
    p_values = _p(calibration, knots)
    higher = np.array([np.sum(scores > knot) for knot in knots])
    equal = np.array([np.sum(scores == knot) for knot in knots])
    # Tied scores share the ranks between these two.
    assert np.all(p_values <= (higher + equal - 0.5) / len(scores) + 1e-5)
    assert np.all(p_values >= (higher + 0.5) / len(scores) - 1e-5)


def test_robust_z_is_that_of_scipy():
    scores = DISTRIBUTIONS["skewed"].rvs(301, random_state=6)
    calibration = calibrate(scores)
    expected = (scores - np.median(scores)) / scipy.stats.median_abs_deviation(scores, scale="normal")
    np.testing.assert_allclose(calibration.robust_z(tf.constant(scores, tf.float32)), expected, atol=1e-4)
    assert calibration.images == 301


def test_normalized_scores_rise_strictly_even_a_thousand_deviations_out():
    calibration = calibrate(DISTRIBUTIONS["normal"].rvs(200, random_state=7))
    z = np.concatenate([-np.arange(1000, 0, -1), [0], np.arange(1, 1001)]).astype(np.float32)
    normalized = calibration.normalized(tf.constant(z * calibration.scale + calibration.median)).numpy()
    assert normalized.dtype == np.float32
    assert np.all(np.diff(normalized) > 0)
    assert normalized[0] > 0 and normalized[-1] < 1
    np.testing.assert_allclose(normalized[1000], 0.5, atol=1e-6)


@pytest.mark.parametrize(
    "scores", [[2.0, 2.0, 2.0, 2.0, 2.0], [0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 5.0], [1.0, 2.0]]
)
def test_scores_that_hardly_vary_still_calibrate(scores):
    calibration = calibrate(np.array(scores))
    assert np.isfinite(calibration.threshold(0.01)) and calibration.threshold(0.01) > max(scores[:-1])
    p_values = _p(calibration, [-10.0, scores[0], 1e9])
    assert np.isfinite(p_values).all()
    assert p_values[0] > 0.5 > 1e-30 > p_values[2] > 0


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, np.nan], [1.0, np.inf]])
def test_too_few_or_broken_scores_are_refused(scores):
    with pytest.raises(ValueError, match="two or more finite scores"):
        calibrate(np.array(scores))
