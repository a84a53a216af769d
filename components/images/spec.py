"""What every image becomes before a network sees it."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
FITS = ("crop", "pad", "stretch")
# What image files can be decoded to: grey, RGB, RGB and alpha.
DECODABLE_CHANNELS = (1, 3, 4)


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Size, channels and geometry of the images that the networks see.

    Attributes:
        resolution: Side of the square image in pixels: a power of two from 4 to 1024.
        channels: 1 for grey, 3 for RGB, 4 for RGB and alpha; image files can be decoded to no other number.
        fit: How an image that is not square becomes square: "crop" keeps the central square, "pad" adds
            black borders (transparent ones with alpha), "stretch" changes the aspect.
    """

    resolution: int = 128
    channels: int = 3
    fit: str = "crop"

    def __post_init__(self) -> None:
        check_choice("resolution", self.resolution, RESOLUTIONS)
        check_range("channels", self.channels, minimum=1)
        check_choice("fit", self.fit, FITS)
