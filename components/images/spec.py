"""What every image becomes before a network sees it."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
TILES = "tiles"
# What makes one square of an image.
SQUARE_FITS = ("crop", "pad", "stretch")
FITS = (*SQUARE_FITS, TILES)
# What image files can be decoded to: grey, RGB, RGB and alpha.
DECODABLE_CHANNELS = (1, 3, 4)
LARGEST_16_BIT = 65535


@dataclasses.dataclass(frozen=True)
class Reading:
    """What ingestion has to know of an `ImageSpec`; whatever else changes, ingested images stay as they are.

    Attributes:
        white_level: See `ImageSpec`.
        tile_size: Side in pixels of the tiles that images are cut into; 0 for whole images.
        tile_overlap: See `ImageSpec`.
    """

    white_level: int = LARGEST_16_BIT
    tile_size: int = 0
    tile_overlap: float = 0.0


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Size, channels and geometry of the images that the networks see.

    Attributes:
        resolution: Side of the square image in pixels: a power of two from 4 to 1024.
        channels: 1 for grey, 3 for RGB, 4 for RGB and alpha; image files can be decoded to no other number.
        fit: How an image that is not square becomes square: "crop" keeps the central square, "pad" adds
            black borders (transparent ones with alpha), "stretch" changes the aspect, "tiles" cuts it into
            squares, each an image of its own.
        tile_size: Side of a tile in pixels of the image, from 4 to 8192; 0 for `resolution`, so that nothing
            is scaled. A model of another fit scores by such tiles too where it is asked to.
        tile_overlap: Share of a tile that its successor covers too, in [0, 0.9].
        white_level: The value in 16-bit images that is white, in [255, 65535]: 4095 for a scanner of 12 bits.
            A value v becomes round(255 v / white_level), at most 255. Images of 8 bits are as they are.
    """

    resolution: int = 128
    channels: int = 3
    fit: str = "crop"
    tile_size: int = 0
    tile_overlap: float = 0.25
    white_level: int = LARGEST_16_BIT

    def __post_init__(self) -> None:
        check_choice("resolution", self.resolution, RESOLUTIONS)
        check_range("channels", self.channels, minimum=1)
        check_choice("fit", self.fit, FITS)
        if self.tile_size:
            check_range("tile_size", self.tile_size, minimum=4, maximum=8192)
        check_range("tile_overlap", self.tile_overlap, minimum=0, maximum=0.9)
        check_range("white_level", self.white_level, minimum=255, maximum=LARGEST_16_BIT)

    @property
    def tile_side(self) -> int:
        """Side of a tile in pixels of the image."""
        return self.tile_size or self.resolution

    @property
    def reading(self) -> Reading:
        """What ingestion has to know."""
        if self.fit == TILES:
            return Reading(self.white_level, self.tile_side, self.tile_overlap)
        return Reading(self.white_level)
