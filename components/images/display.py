"""What an image of any number of channels looks like on a screen."""

import numpy as np
from numpy.typing import NDArray


def displayable(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turns images of any number of channels into grey or RGB ones.

    1 channel is grey and 3 are RGB, as they are. 4 are RGB and alpha: the image is laid over white. Of 2 the
    mean is shown as grey, of 5 and more the first three as RGB.

    Args:
        images: uint8 [..., H, W, C].

    Returns:
        uint8 [..., H, W, 1 or 3].
    """
    channels = images.shape[-1]
    if channels in (1, 3):
        return images
    if channels == 2:
        return np.rint(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
    if channels > 4:
        return images[..., :3]
    alpha = images[..., 3:].astype(np.float32) / np.float32(255)
    over_white = images[..., :3] * alpha + 255 * (1 - alpha)
    return np.rint(over_white).astype(np.uint8)
