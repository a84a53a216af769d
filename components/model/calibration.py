"""What a score means, learned from held-out normal images only.

A calibration turns a raw score into a robust z (how many typical deviations above the normal median), a
p-value (the probability that a normal image scores at least as high) and a threshold at a stated
false-positive rate, with the interval in which the true one lies.

Inside the sample nothing is assumed: a fresh normal image exceeds the i-th highest of n scores with
probability i / (n + 1). The k highest scores give way to a fitted tail, so that scores above all calibration
images still differ: their excesses are taken as exponential (peaks over threshold: Balkema & de Haan 1974;
Pickands 1975). As the scale is known from k of them only, the probability that the *next* image exceeds is a
generalized Pareto law of shape 1 / k. Both parts have the stated false-positive rate on average.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

# The tail is fitted to a quarter of the scores, within these limits: few of many, since counting beats a fit
# where there are scores to count (docs/calibration.md).
_TAIL_SHARE = 0.25
_TAIL_IMAGES_MIN, _TAIL_IMAGES_MAX = 3, 10
# The share of a normal distribution below one standard deviation above its median.
_ONE_SIGMA = 0.8413
_INTERVAL_DRAWS = 4_000


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The distribution of one score over normal images.

    Attributes:
        median: Median of the scores.
        scale: Distance from the median up to the 84.13 % quantile, above 0.
        knots: The scores below the tail, ascending, float32 [images - tail_images]; the tail begins at the
            last.
        tail_scale: Mean excess of the highest scores over the last knot, above 0.
        tail_images: Number of highest scores that the tail was fitted to.
        images: Number of calibration images.
    """

    median: float
    scale: float
    knots: np.ndarray
    tail_scale: float
    tail_images: int
    images: int

    @property
    def survival(self) -> np.ndarray:
        """The probability that a normal image scores at least each knot, descending, float32 [K]."""
        ranks = np.arange(self.images, self.tail_images, -1)
        return (ranks / (self.images + 1)).astype(np.float32)

    def robust_z(self, scores: tf.Tensor) -> tf.Tensor:
        """Returns (score - median) / scale, of the scores' shape.

        One-sided: only scores above the median say how far a high score is from usual ones. A skewed score
        then weighs as much beside a symmetric one as its high values deserve; by the median absolute
        deviation it would weigh up to three times as much.
        """
        return (scores - self.median) / self.scale

    def normalized(self, scores: tf.Tensor) -> tf.Tensor:
        """Maps scores into (0, 1), strictly increasing, 0.5 at the normal median.

        Softsign of the robust z's logarithm. A sigmoid would be 1.0 in float32 for every score 17 deviations
        above normal, softsign of z itself cannot tell 3,000 from 3,001; anomalies beyond that would tie.
        """
        z = self.robust_z(scores)
        return 0.5 + 0.5 * tf.math.softsign(tf.sign(z) * tf.math.log1p(tf.abs(z)))

    def p_value(self, scores: tf.Tensor) -> tf.Tensor:
        """Returns the probability that a normal image scores at least as high, in (0, 1), float [N].

        Strictly decreasing in the tail; below the least calibration score it stays at n / (n + 1).
        """
        body = _interpolated(scores, self.knots, self.survival)
        excess = tf.maximum(scores - self.knots[-1], 0.0) / self.tail_scale
        tail = tf.exp(-self.tail_images * tf.math.log1p(excess / self.tail_images))
        # Even the strangest image has a p-value above 0: beyond float32 it would be a claim, not a number.
        return tf.maximum(body * tail, np.finfo(np.float32).tiny)

    def threshold(self, false_positive_rate: float) -> float:
        """Returns the score that a fresh normal image exceeds with that probability, in (0, 1)."""
        survival = self.survival.astype(np.float64)
        if false_positive_rate < survival[-1]:
            growth = (survival[-1] / false_positive_rate) ** (1.0 / self.tail_images) - 1.0
            return float(self.knots[-1] + self.tail_scale * self.tail_images * growth)
        return float(np.interp(-false_positive_rate, -survival, self.knots))

    def thresholds(self, false_positive_rates: tf.Tensor) -> tf.Tensor:
        """Returns what `threshold` does, in a graph, for rates that are only known there: float [N]."""
        rarity = self.survival[-1] / tf.minimum(false_positive_rates, self.survival[-1])
        growth = tf.math.expm1(tf.math.log(rarity) / self.tail_images)
        body = _interpolated(-false_positive_rates, -self.survival, self.knots)
        return body + self.tail_scale * self.tail_images * growth

    def threshold_interval(self, false_positive_rate: float, confidence: float = 0.95) -> tuple[float, float]:
        """Returns where the score lies that all normal images, were they known, exceed at that rate.

        Draws what is unknown and keeps the middle `confidence` of the results: how rare the last knot is (a
        Beta law, whatever the scores' distribution), how many of the scores below lie above the quantile
        (binomial), and how long the tail is (Gamma, exact for an exponential tail). The bootstrap of such few
        high scores is too narrow.

        Args:
            false_positive_rate: In (0, 1).
            confidence: In (0, 1).

        Returns:
            (low, high); the same at every call.
        """
        random = np.random.default_rng(0)
        last, highest = len(self.knots) - 1, self.tail_images
        rarity = random.beta(highest + 1, self.images - highest, _INTERVAL_DRAWS)
        length = highest * self.tail_scale / random.gamma(highest, size=_INTERVAL_DRAWS)
        beyond = self.knots[-1] + length * np.log(np.maximum(rarity / false_positive_rate, 1.0))
        share_above = np.clip((false_positive_rate - rarity) / (1.0 - rarity), 0.0, 1.0)
        position = last - random.binomial(last, share_above) - random.random(_INTERVAL_DRAWS)
        within = np.interp(position, np.arange(len(self.knots)), self.knots)
        draws = np.where(rarity > false_positive_rate, beyond, within)
        low, high = np.quantile(draws, [(1.0 - confidence) / 2, (1.0 + confidence) / 2])
        return float(low), float(high)

    def supports(self, false_positive_rate: float) -> bool:
        """Says whether there are enough images for that rate: one of them is expected above the threshold."""
        return self.images >= sample_needed(false_positive_rate)

    def shortage(self, false_positive_rate: float) -> str:
        """Returns in one line that there are too few images for that rate; "" where there are enough."""
        if self.supports(false_positive_rate):
            return ""
        return (
            f"calibration has {self.images:,} images; a false-positive rate of "
            f"{100 * false_positive_rate:g} % needs at least {sample_needed(false_positive_rate):,}: "
            "the threshold is extrapolated by a fitted tail"
        )

    def description(self) -> dict[str, float]:
        """Returns what was fitted, as plain numbers for a JSON file."""
        return {
            "images": self.images,
            "median": self.median,
            "scale": self.scale,
            "tail_start": float(self.knots[-1]),
            "tail_scale": self.tail_scale,
            "tail_images": self.tail_images,
        }


def _interpolated(values: tf.Tensor, places: np.ndarray, heights: np.ndarray) -> tf.Tensor:
    """Interpolates linearly between points, and keeps the first and last one's height beyond: float [N].

    Args:
        values: Where, float [N].
        places: Of the points, ascending, float [K].
        heights: Of the points, float [K].
    """
    x, y = tf.constant(places, tf.float32), tf.constant(heights, tf.float32)
    upper = tf.minimum(tf.searchsorted(x, values), len(places) - 1)
    lower = tf.maximum(upper - 1, 0)
    left, right = tf.gather(x, lower), tf.gather(x, upper)
    share = tf.clip_by_value(tf.math.divide_no_nan(values - left, right - left), 0.0, 1.0)
    low, high = tf.gather(y, lower), tf.gather(y, upper)
    return low + (high - low) * share


def sample_needed(false_positive_rate: float) -> int:
    """Returns how many independent values a quantile at that rate, in (0, 1), needs to lie among them."""
    return math.ceil(round(1.0 / false_positive_rate, 6))


def median_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Returns the median and the distance from it up to the 84.13 % quantile, of values of any shape.

    The latter is the standard deviation of a normal distribution, looks only at high values, and withstands
    16 % of anomalies.
    """
    median, one_sigma = np.quantile(values, [0.5, _ONE_SIGMA])
    return float(median), float(one_sigma - median)


def calibrate(scores: np.ndarray) -> Calibration:
    """Fits a calibration to the scores of held-out normal images.

    Args:
        scores: float [N], N at least 2.

    Raises:
        ValueError: fewer than two scores, or one is not finite.
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"calibration needs two or more finite scores; received {len(scores)}")
    ordered = np.sort(np.asarray(scores, np.float64))
    median, deviation = median_and_deviation(ordered)
    # Scores that hardly vary, or not at all, must not blow up the z of the next image.
    scale = max(deviation, 1e-4 * abs(median), 1e-6)
    highest = max(int(_TAIL_SHARE * len(ordered)), _TAIL_IMAGES_MIN)
    highest = min(highest, _TAIL_IMAGES_MAX, len(ordered) - 1)
    knots, excess = ordered[:-highest], ordered[-highest:] - ordered[-highest - 1]
    return Calibration(
        median=median,
        scale=scale,
        knots=knots.astype(np.float32),
        tail_scale=max(float(excess.mean()), 0.01 * scale),
        tail_images=highest,
        images=len(ordered),
    )
