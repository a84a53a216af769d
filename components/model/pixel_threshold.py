"""From which value on a pixel of an anomaly map counts as anomalous, learned from held-out normal images."""

import dataclasses

import numpy as np
import scipy.stats

from proganomaly.components.model.calibration import sample_needed
from proganomaly.components.model.coreset import Reservoir


@dataclasses.dataclass(frozen=True)
class PixelThreshold:
    """A threshold on map values at a stated false-positive rate per pixel.

    Attributes:
        value: The map value that this share of the normal pixels exceeds.
        low: Lower end of the interval where the value of all normal images lies.
        high: Upper end of it.
        rate: The stated false-positive rate per pixel, in (0, 1).
        images: Number of images it was taken from.
        independent_pixels: How many independent pixels would say as much as these, whose neighbours resemble
            each other.
    """

    value: float
    low: float
    high: float
    rate: float
    images: int
    independent_pixels: float

    def shortage(self) -> str:
        """Returns in one line that there are too few images for the rate; "" where there are enough."""
        needed = sample_needed(self.rate)
        if self.independent_pixels >= needed:
            return ""
        return (
            f"calibration maps of {self.images:,} images say as much as {self.independent_pixels:,.0f} "
            f"independent pixels; a false-positive rate per pixel of {100 * self.rate:g} % needs at least "
            f"{needed:,}: the pixel threshold is uncertain"
        )


class PixelSample:
    """Pixels of the anomaly maps of normal images, in bounded memory (32 MiB by default).

    Args:
        images: Images kept, at most: a uniform sample of those added.
        pixels: Pixels kept of each, at most: another random choice in every image.
        seed: Seed of both samples.
    """

    def __init__(self, images: int = 2_000, pixels: int = 4_096, seed: int = 0) -> None:
        self._pixels = pixels
        self._images = Reservoir(images, seed)
        self._random = np.random.default_rng(seed)

    def add(self, maps: np.ndarray) -> None:
        """Adds anomaly maps, float [N, H, W], all of one size. How they are batched makes no difference."""
        rows = maps.reshape(len(maps), -1)
        if rows.shape[1] > self._pixels:
            rows = np.stack([self._random.choice(row, self._pixels, replace=False) for row in rows])
        self._images.add(rows)

    def threshold(self, false_positive_rate: float, confidence: float = 0.95) -> PixelThreshold:
        """Returns the quantile of all pixels at that rate, and the interval of it, by images.

        The pixels of an image hang together, so an interval that counted each would be far too narrow. How
        much the images differ in their share of pixels above the threshold says how many independent pixels
        they are worth; an exact binomial interval of so many (Korn & Graubard, "Confidence intervals for
        proportions with small expected number of positive counts estimated from survey data", Survey
        Methodology 24, 1998) gives the lowest and highest rate, and their quantiles are the interval
        (Woodruff, "Confidence intervals for medians and other position measures", JASA 47, 1952).

        Args:
            false_positive_rate: Share of normal pixels above the threshold, in (0, 1).
            confidence: In (0, 1).

        Raises:
            ValueError: fewer than two images, or a value that is not finite.
        """
        pixels, rate = self._images.vectors, false_positive_rate
        images = len(pixels)
        if images < 2 or not np.isfinite(pixels).all():
            raise ValueError(f"a pixel threshold needs finite maps of two or more images; received {images}")
        value = np.quantile(pixels, 1.0 - rate)
        shares = np.mean(pixels >= value, axis=1)
        share, variance = shares.mean(), np.var(shares, ddof=1) / images
        independent = min(share * (1.0 - share) / variance, pixels.size) if variance > 0 else pixels.size
        tail = (1.0 - confidence) / 2
        # The variance itself is only estimated, from so many images.
        independent *= (scipy.stats.norm.ppf(tail) / scipy.stats.t.ppf(tail, images - 1)) ** 2
        exceeding = rate * independent
        lowest = scipy.stats.beta.ppf(tail, exceeding, independent - exceeding + 1.0)
        highest = scipy.stats.beta.ppf(1.0 - tail, exceeding + 1.0, independent - exceeding)
        low, high = np.quantile(pixels, [1.0 - highest, 1.0 - lowest])
        return PixelThreshold(float(value), float(low), float(high), rate, images, float(independent))
