"""What is taken of a data set of TensorFlow Datasets."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range
from proganomaly.components.images.spec import SQUARE_FITS, ImageSpec


@dataclasses.dataclass(frozen=True)
class TfdsSettings:
    """What is taken of a data set.

    Attributes:
        name: Its name as TensorFlow Datasets knows it, with configuration and version: "celeb_a_hq/1024".
        split: The training images; a split, or a part of one such as "train[:10%]".
        test_split: The test images where one class is normal; None takes "test" where there is one.
        normal: Name of the class that is normal, all others being anomalies; None: everything is normal.
        test_share: Share of `split` to test on, where one class is normal and there is no test split.
        limit: At most so many training images, and test images per class; 0 for all.
        resolution: Side of the square that images are made to, in pixels; None leaves them as they are.
        fit: How an image that is not square becomes square, one of `SQUARE_FITS`; see `ImageSpec`.
        image_feature: The feature with the images; None takes "image", or the only one.
        label_feature: The feature with the classes; None takes "label", or the only one.
    """

    name: str
    split: str = "train"
    test_split: str | None = None
    normal: str | None = None
    test_share: float = 0.2
    limit: int = 0
    resolution: int | None = None
    fit: str = "crop"
    image_feature: str | None = None
    label_feature: str | None = None

    def __post_init__(self) -> None:
        check_range("test share", self.test_share, minimum=0, maximum=1, exclusive=True)
        check_range("limit", self.limit, minimum=0)
        check_choice("fit", self.fit, SQUARE_FITS)
        ImageSpec(resolution=self.resolution or ImageSpec().resolution, fit=self.fit)
