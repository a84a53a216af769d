"""Settings of AnomalyEvaluator."""

import dataclasses

from proganomaly.components.errors import check_range


@dataclasses.dataclass(frozen=True)
class EvaluatorSettings:
    """How a model is measured, and when it is blessed.

    Attributes:
        min_image_auroc: Least image AUROC of a blessed model, from 0 to 1.
        max_auroc_drop: By how much a blessed model's image AUROC may fall below the served model's, from 0
            to 1, measured on the same images.
        require_labels: Whether a model that cannot be measured, for want of labelled anomalies or of normal
            images, is refused; otherwise the conditions on the image AUROC do not apply to it.
        batch_size: Images that the model scores at a time.
        baseline_images: Most training images that the plain baselines are fitted on.
        report_images: Images in each gallery of the report.
    """

    min_image_auroc: float = 0.6
    max_auroc_drop: float = 0.02
    require_labels: bool = False
    batch_size: int = 32
    baseline_images: int = 2000
    report_images: int = 6

    def __post_init__(self) -> None:
        check_range("min_image_auroc", self.min_image_auroc, 0, 1)
        check_range("max_auroc_drop", self.max_auroc_drop, 0, 1)
        check_range("batch_size", self.batch_size, 1)
        check_range("baseline_images", self.baseline_images, 2)
        check_range("report_images", self.report_images, 0, 100)
