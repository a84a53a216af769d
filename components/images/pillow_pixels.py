"""Pixels and orientation of images that Pillow reads."""

import numpy as np
from PIL import ExifTags, Image

from proganomaly.components.images.orientation import UPRIGHT


def pillow_pixels(image: Image.Image) -> np.ndarray:
    """Returns the pixels of a Pillow image of 8 bits or fewer, uint8 [height, width, 1 to 4], as they lie."""
    mode = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA"}.get(
        image.mode, "RGB"
    )
    if image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels.reshape(*pixels.shape[:2], -1)


def pillow_orientation(image: Image.Image) -> int:
    """Returns the orientation in an image's EXIF; upright where there is none, or a broken one."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except Exception:
        return UPRIGHT
