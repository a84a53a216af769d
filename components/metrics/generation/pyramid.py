"""Gaussian and Laplacian pyramids of images (Burt and Adelson 1983), as Karras et al. 2018 use them."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Binomial coefficients, the usual stand-in for a Gaussian.
_FILTER = np.array([1, 4, 6, 4, 1], np.float32) / 16


def laplacian_pyramid(images: NDArray, smallest: int) -> dict[int, NDArray[np.float32]]:
    """Splits images into bands of frequencies, which sum up to the images again.

    Args:
        images: [N, R, R, C] in any unit, R a power of two.
        smallest: Side of the last level, which holds all lower frequencies; with R below it, R is the one
            level.

    Returns:
        float32 [N, L, L, C] by side L, from R down.
    """
    levels = [images.astype(np.float32)]
    while levels[-1].shape[1] > smallest:
        levels.append(_smooth(levels[-1])[:, ::2, ::2])
    bands = [fine - expand(coarse) for fine, coarse in itertools.pairwise(levels)]
    return {band.shape[1]: band for band in [*bands, levels[-1]]}


def expand(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Doubles height and width smoothly: [N, H, W, C] -> [N, 2H, 2W, C]."""
    count, height, width, channels = images.shape
    spread = np.zeros((count, 2 * height, 2 * width, channels), np.float32)
    # Three of four pixels are zeros: the factor keeps the brightness.
    spread[:, ::2, ::2] = 4 * images
    return _smooth(spread)


def _smooth(images: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in (1, 2):
        images = ndimage.correlate1d(images, _FILTER, axis=axis, mode="mirror")
    return images
