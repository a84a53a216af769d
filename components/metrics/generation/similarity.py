"""MS-SSIM: how alike pairs of images are, over several scales (Wang, Simoncelli and Bovik 2003).

Karras et al. 2018 (section 6.1) take it over pairs of generated images: the higher, the less they vary.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Wang et al. 2003, section 3.2; from the finest scale to the coarsest.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_SMALLEST_SCALE = 8
_PEAK = 255.0
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def ms_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns the similarity of each pair, in [0, 1]; 1 for equal images.

    The five scales of the paper need 128 pixels: scales end at 8 pixels, and the weights of those that fit
    are divided by their sum. An image below 8 pixels has one scale. The window of 11 pixels (sigma 1.5)
    shrinks, and its sigma with it, to images below 11 pixels, as in Karras et al. 2018; from 128 pixels on
    nothing differs from theirs.

    Args:
        first: [N, H, W, C].
        second: [N, H, W, C].
    """
    similarities, contrasts = [], []
    scales = number_of_scales(min(first.shape[1:3]))
    x, y = first.astype(np.float64), second.astype(np.float64)
    for scale in range(scales):
        if scale:
            x, y = _halved(x), _halved(y)
        similarity, contrast = ssim(x, y)
        similarities.append(similarity)
        contrasts.append(contrast)
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    # Negative correlations have no real power; they are counted as none at all.
    terms = np.clip([*contrasts[:-1], similarities[-1]], 0, None)
    return np.prod(terms ** weights[:, None], axis=0)


def number_of_scales(side: int) -> int:
    """Returns how many scales an image of this side has: 1 to 5."""
    return min(len(_WEIGHTS), max(1, int(np.log2(max(side // _SMALLEST_SCALE, 1))) + 1))


def ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns SSIM and its contrast-structure term at one scale (Wang et al. 2004, equations 6 and 13).

    Args:
        x: [N, H, W, C] in [0, 255].
        y: [N, H, W, C] in [0, 255].

    Returns:
        Both [N], the means over all places where the window lies in the image, and over the channels.
    """
    size = min(_WINDOW, *x.shape[1:3])
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offsets**2) / (2 * (_SIGMA * size / _WINDOW) ** 2))
    window /= window.sum()

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (1, 2):
            values = ndimage.correlate1d(values, window, axis=axis, mode="nearest")
            # Only where the window lies within the image.
            inner = np.arange(size // 2, size // 2 + values.shape[axis] - size + 1)
            values = values.take(inner, axis=axis)
        return values

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    contrast = (2 * covariance + _C2) / (variances + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def _halved(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Takes the means of 2x2 boxes; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in images.shape[1:3])
    boxes = images[:, :height, :width].reshape(len(images), height // 2, 2, width // 2, 2, -1)
    return boxes.mean(axis=(2, 4))
