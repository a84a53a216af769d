"""What a user can set of ImageExampleGen."""

import dataclasses

from proganomaly.components.errors import check_range


@dataclasses.dataclass(frozen=True)
class ImageExampleGenSettings:
    """How a folder of images becomes splits of Examples.

    Attributes:
        calibration_share: Share of the normal training images that is held out for thresholds, where there is
            no folder `calibration`; above 0, below 1.
        max_quarantined_fraction: The step fails when more than this fraction of the images cannot be used.
        max_pixels: Images with more pixels are quarantined before they are decoded.
    """

    calibration_share: float = 0.2
    max_quarantined_fraction: float = 0.1
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        check_range("calibration_share", self.calibration_share, minimum=0, maximum=1, exclusive=True)
        check_range("max_quarantined_fraction", self.max_quarantined_fraction, minimum=0, maximum=1)
        check_range("max_pixels", self.max_pixels, minimum=1)
