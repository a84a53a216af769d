"""The pyramid of one image, bit for bit that of the original tool.

Source: Karras et al. 2018, `dataset_tool.py`, class TFRecordExporter: every level is the float mean of 2x2
pixels of the level above, which is never rounded itself; only what is stored is rounded, half to even.
"""

import numpy as np

_SMALLEST = 4


def box_mean_pyramid(image: np.ndarray) -> dict[int, np.ndarray]:
    """Scales an image down to 4x4 by powers of two.

    Each level is the mean of the original image's boxes, rounded half to even.

    Args:
        image: uint8 [R, R, C], R a power of two from 4 to 1024.

    Returns:
        Resolution -> uint8 [resolution, resolution, C], from R down to 4. Level R is `image` itself.
    """
    levels = {image.shape[0]: image}
    # Exact in float32: a mean of 4^k pixels is an integer below 2^24 (256 * 4^8, from 1024 down to 4) over a
    # power of two.
    means = image.astype(np.float32)
    while means.shape[0] > _SMALLEST:
        means = means[0::2] + means[1::2]
        means = (means[:, 0::2] + means[:, 1::2]) * np.float32(0.25)
        levels[means.shape[0]] = np.rint(means).astype(np.uint8)
    return levels
