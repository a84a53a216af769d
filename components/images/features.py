"""A few cheap numbers per image that make data validation and drift meaningful."""

import dataclasses

import numpy as np
from scipy import ndimage

_WHITE = 255.0


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
    """Measures a uint8 image [height, width, channels]; alpha, the 2nd or 4th channel, is left out."""
    channels = image.shape[2]
    colours = image[:, :, : channels - 1 if channels in (2, 4) else channels]
    grey = colours.mean(axis=2, dtype=np.float32)
    return ImageFeatures(
        brightness=float(grey.mean(dtype=np.float64)) / _WHITE,
        contrast=float(grey.std(dtype=np.float64)) / _WHITE,
        sharpness=float(ndimage.laplace(grey).std(dtype=np.float64)) / _WHITE,
    )
