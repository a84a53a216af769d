"""What a user can set of ImageExampleGen."""

import dataclasses
import re

from proganomaly.components.errors import SettingsError, check_choice, check_range

LAYOUTS = (
    "auto",
    "mvtec",
    "visa",
    "btech",
    "classes",
    "flat",
    "manifest",
    "tfrecords",
    "pyramid",
    "tfds",
)
# Layouts whose files hold many images each.
CONTAINERS = ("tfrecords", "pyramid", "tfds")
ON_DUPLICATES = ("quarantine", "keep")


@dataclasses.dataclass(frozen=True)
class ImageExampleGenSettings:
    """How images become splits of Examples.

    Attributes:
        layout: How the images are laid out, one of `LAYOUTS`; "auto" looks at them.
        normal_class: The folder of normal images among class folders; "good", "ok" or "normal" when empty.
        calibration_share: Share of the normal images that is held out for thresholds, where the layout names
            none; above 0, below 1.
        test_share: Share of the normal images that is held out to measure the model on, where the layout
            names none; at least 0, with `calibration_share` below 1.
        group_pattern: Regular expression for paths; images for which its first group is the same text share
            a split, so that pictures of one part, or of one second, do not fall on both sides. "" for none.
        near_identical: Images whose thumbnails differ by at most so many grey levels of 255 (root mean
            square) share a split; 0 for equal pixels alone.
        duplicates: What becomes of images whose pixels are there already: "quarantine" or "keep".
        max_quarantined_fraction: The step fails when more than this fraction of the images cannot be used;
            duplicates do not count.
        max_pixels: Images with more pixels are quarantined before they are decoded.
        follow_links: Whether links that lead out of the image folder are followed.
        window: Number of spans, newest first, that make up the data; see `spans`.
    """

    layout: str = "auto"
    normal_class: str = ""
    calibration_share: float = 0.2
    test_share: float = 0.0
    group_pattern: str = ""
    near_identical: float = 2.0
    duplicates: str = "quarantine"
    max_quarantined_fraction: float = 0.1
    max_pixels: int = 100_000_000
    follow_links: bool = False
    window: int = 1

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, LAYOUTS)
        check_range("calibration_share", self.calibration_share, minimum=0, maximum=1, exclusive=True)
        check_range("test_share", self.test_share, minimum=0)
        if self.calibration_share + self.test_share >= 1:
            raise SettingsError(
                "calibration_share and test_share must add up to less than 1; received "
                f"{self.calibration_share} and {self.test_share}"
            )
        self._check_group_pattern()
        check_range("near_identical", self.near_identical, minimum=0, maximum=255)
        check_choice("duplicates", self.duplicates, ON_DUPLICATES)
        check_range("max_quarantined_fraction", self.max_quarantined_fraction, minimum=0, maximum=1)
        check_range("max_pixels", self.max_pixels, minimum=1)
        check_range("window", self.window, minimum=1)

    def _check_group_pattern(self) -> None:
        """Raises SettingsError unless the pattern is a regular expression with a group, or empty."""
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise SettingsError(
                f"group_pattern must be a regular expression ({error}); received {self.group_pattern!r}"
            ) from error
        if self.group_pattern and not groups:
            raise SettingsError(
                f"group_pattern must have a group, such as ^(part[0-9]+)_; received {self.group_pattern!r}"
            )
