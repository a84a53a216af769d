"""What a score means, learned from held-out normal images only.

A calibration turns a raw score into a robust z (how many typical deviations above the normal median), a
p-value (the probability that a normal image scores at least as high) and a threshold at a stated
false-positive rate. The survival function is the empirical one, interpolated, and an exponential beyond its
90 % quantile, so that scores above every calibration image still differ.
"""

import dataclasses

import numpy as np
import tensorflow as tf

_TAIL_SHARE = 0.1
# Scales a median absolute deviation to the standard deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The distribution of one score over normal images.

    Attributes:
        median: Median of the scores.
        scale: Median absolute deviation times 1.4826, above 0.
        knots: Scores where the survival function is known, ascending, float32 [K].
        survival: The survival function at the knots, descending, float32 [K]; the last value is where the
            exponential tail begins.
        tail_scale: Mean excess over the last knot, above 0.
        images: Number of calibration images.
    """

    median: float
    scale: float
    knots: np.ndarray
    survival: np.ndarray
    tail_scale: float
    images: int

    def robust_z(self, scores: tf.Tensor) -> tf.Tensor:
        """Returns (score - median) / scale, of the scores' shape."""
        return (scores - self.median) / self.scale

    def normalized(self, scores: tf.Tensor) -> tf.Tensor:
        """Maps scores into (0, 1), strictly increasing, 0.5 at the normal median.

        Softsign of the robust z. A sigmoid would be 1.0 in float32 for every score 17 deviations above
        normal, and anomalies beyond that would tie.
        """
        return 0.5 + 0.5 * tf.math.softsign(self.robust_z(scores))

    def p_value(self, scores: tf.Tensor) -> tf.Tensor:
        """Returns the probability that a normal image scores at least as high, in (0, 1), float [N]."""
        knots = tf.constant(self.knots, tf.float32)
        survival = tf.constant(self.survival, tf.float32)
        upper = tf.clip_by_value(tf.searchsorted(knots, scores), 1, len(self.knots) - 1)
        left, right = tf.gather(knots, upper - 1), tf.gather(knots, upper)
        share = tf.clip_by_value((scores - left) / tf.maximum(right - left, 1e-12), 0.0, 1.0)
        high, low = tf.gather(survival, upper - 1), tf.gather(survival, upper)
        body = high + (low - high) * share
        excess = tf.maximum(scores - self.knots[-1], 0.0)
        # Even the strangest image has a p-value above 0: beyond float32 it would be a claim, not a number.
        return tf.maximum(body * tf.exp(-excess / self.tail_scale), np.finfo(np.float32).tiny)

    def threshold(self, false_positive_rate: float) -> float:
        """Returns the score that normal images exceed with that probability, in (0, 1)."""
        if false_positive_rate < self.survival[-1]:
            return float(self.knots[-1] + self.tail_scale * np.log(self.survival[-1] / false_positive_rate))
        return float(np.interp(-false_positive_rate, -self.survival, self.knots))


def median_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Returns the median and the median absolute deviation times 1.4826, of values of any shape."""
    median = float(np.median(values))
    return median, _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))


def calibrate(scores: np.ndarray) -> Calibration:
    """Fits a calibration to the scores of held-out normal images.

    Args:
        scores: float [N], N at least 2.

    Raises:
        ValueError: fewer than two scores, or one is not finite.
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"calibration needs two or more finite scores; received {len(scores)}")
    ordered = np.sort(scores.astype(np.float64))
    median, deviation = median_and_deviation(ordered)
    # Scores that hardly vary, or not at all, must not blow up the z of the next image.
    floor = max(1e-6, 1e-4 * abs(median))
    scale = max(deviation, floor)
    survival = 1.0 - (np.arange(len(ordered)) + 0.5) / len(ordered)
    body = max(int(np.sum(survival >= _TAIL_SHARE)), 2)
    knots, survival = ordered[:body], survival[:body]
    excess = ordered[body - 1 :] - knots[-1]
    tail_scale = float(excess.mean()) if len(excess) > 1 and excess.mean() > 0 else scale
    return Calibration(
        median=median,
        scale=scale,
        knots=knots.astype(np.float32),
        survival=survival.astype(np.float32),
        tail_scale=max(tail_scale, 0.1 * scale),
        images=len(ordered),
    )
