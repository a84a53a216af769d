"""A few cheap numbers per image that make data validation and drift meaningful."""

import dataclasses
import math

import numpy as np

_WHITE = 255.0
# Squares are summed so many at a time, so that no large image is copied to wider numbers.
_CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True)
class ImageFeatures:
    """Statistics of one image, all as fractions of white.

    Attributes:
        brightness: Mean, in [0, 1].
        contrast: Standard deviation, in [0, 0.5].
        sharpness: Standard deviation of the Laplacian; low for blurred images, 0 for uniform ones.
    """

    brightness: float
    contrast: float
    sharpness: float


def measure(image: np.ndarray) -> ImageFeatures:
    """Measures a uint8 image [height, width, channels]; alpha, the 2nd or 4th channel, is left out.

    Grey is the mean of the colours; beyond an edge the Laplacian finds the edge's own pixel.
    """
    channels = image.shape[2]
    colours = channels - 1 if channels in (2, 4) else channels
    # Whole numbers as long as possible: sums of colours, at most 765, and differences of them are exact.
    total = image[:, :, 0].astype(np.int16)
    for colour in range(1, colours):
        total += image[:, :, colour]
    white = colours * _WHITE
    mean = total.sum(dtype=np.int64) / total.size
    return ImageFeatures(
        brightness=float(mean / white),
        contrast=math.sqrt(max(_sum_of_squares(total) / total.size - mean**2, 0.0)) / white,
        sharpness=math.sqrt(_sum_of_squares(_laplacian(total)) / total.size) / white,
    )


def _laplacian(values: np.ndarray) -> np.ndarray:
    """Returns the Laplacian of int16 [height, width] up to its sign; its mean is 0."""
    result = np.zeros_like(values)
    for axis in (0, 1):
        ahead, behind = np.moveaxis(result, axis, 0)[1:], np.moveaxis(result, axis, 0)[:-1]
        steps = np.moveaxis(np.diff(values, axis=axis), axis, 0)
        ahead += steps
        behind -= steps
    return result


def _sum_of_squares(values: np.ndarray) -> int:
    # Not by a product of matrices: its threads wait for each other where workers keep every core busy.
    flat = values.reshape(-1)
    chunks = (flat[start : start + _CHUNK].astype(np.int64) for start in range(0, flat.size, _CHUNK))
    return sum(int(np.einsum("i,i->", chunk, chunk)) for chunk in chunks)
