"""The pyramid of one image, bit for bit that of the original tool.

Source: Karras et al. 2018, `dataset_tool.py`, class TFRecordExporter: every level is the float mean of 2x2
pixels of the level above, which is never rounded itself; only what is stored is rounded, half to even.
"""

from typing import Any

import numpy as np

_SMALLEST = 4
_WIDER: dict[Any, np.dtype] = {
    np.dtype(np.uint8): np.dtype(np.uint16),
    np.dtype(np.uint16): np.dtype(np.uint32),
}


def box_mean_pyramid(planes: np.ndarray) -> dict[int, np.ndarray]:
    """Scales an image down to 4x4 by powers of two.

    Each level is the mean of the original image's boxes, rounded half to even.

    Args:
        planes: uint8 [C, R, R], contiguous, R a power of two from 4 to 1024.

    Returns:
        Resolution -> uint8 [C, resolution, resolution], from R down to 4. Level R is `planes` itself.
    """
    levels = {planes.shape[-1]: planes}
    # Sums of 4^k pixels are integers below 2^24 (256 * 4^8, from 1024 down to 4): exact, faster than floats.
    sums, shift = planes, 0
    while sums.shape[-1] > _SMALLEST:
        pairs = _add_neighbours(sums)
        sums = pairs[:, 0::2] + pairs[:, 1::2]
        shift += 2
        levels[sums.shape[-1]] = _shift_right(sums, shift)
    return levels


def _add_neighbours(values: np.ndarray) -> np.ndarray:
    """Adds every two neighbours of a row: [C, H, W] becomes [C, H, W / 2], of a wider type up to uint32."""
    wider = _WIDER.get(values.dtype)
    if wider is None:
        return values[:, :, 0::2] + values[:, :, 1::2]
    # Two neighbours are the halves of one wider integer. That avoids strided reads, which take twice as long.
    pairs = values.view(wider)
    bits = wider.type(8 * values.itemsize)
    total = pairs >> bits
    total += pairs & wider.type((1 << int(bits)) - 1)
    return total


def _shift_right(sums: np.ndarray, shift: int) -> np.ndarray:
    """Divides by 2^shift and rounds half to even, uint8."""
    one = sums.dtype.type(1)
    rounded = sums >> sums.dtype.type(shift)
    rounded &= one  # 1 where the quotient is odd: there a half is rounded up
    rounded += sums
    rounded += sums.dtype.type((1 << shift - 1) - 1)
    rounded >>= sums.dtype.type(shift)
    return rounded.astype(np.uint8)
