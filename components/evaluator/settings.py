"""Settings of AnomalyEvaluator."""

import dataclasses

from proganomaly.components.errors import check_choice, check_range

SYNTHETIC = ("auto", "never")


@dataclasses.dataclass(frozen=True)
class EvaluatorSettings:
    """How a model is measured, and when it is blessed.

    Attributes:
        min_image_auroc: Least image AUROC of a blessed model, from 0 to 1.
        max_auroc_drop: By how much a blessed model's image AUROC may fall below the served model's, from 0
            to 1, measured on the same images.
        require_labels: Whether a model that cannot be measured, for want of labelled anomalies or of normal
            images, is refused; otherwise the conditions on the image AUROC do not apply to it.
        require_better_than_baselines: Whether a model that does not beat every baseline and the same networks
            untrained is refused; otherwise it is told so.
        synthetic: Where no anomaly is labelled: "auto" draws defects onto held-out normal images to measure
            the model on, "never" does not.
        synthetic_per_kind: Synthetic defects of each of the five kinds, at most; at most half of the normal
            images get any.
        synthetic_seed: Equal seeds make equal defects.
        batch_size: Images that the model scores at a time.
        baseline_images: Most training images that the baselines and the untrained networks are fitted on.
        suspect_images: Most training images that are searched for anomalies among them; 0 for none.
        report_images: Images in each gallery of the report.
        report_quarantined: Images that could not be used which the report lists, at most.
    """

    min_image_auroc: float = 0.6
    max_auroc_drop: float = 0.02
    require_labels: bool = False
    require_better_than_baselines: bool = False
    synthetic: str = "auto"
    synthetic_per_kind: int = 40
    synthetic_seed: int = 0
    batch_size: int = 32
    baseline_images: int = 2000
    suspect_images: int = 1000
    report_images: int = 6
    report_quarantined: int = 20

    def __post_init__(self) -> None:
        check_range("min_image_auroc", self.min_image_auroc, 0, 1)
        check_range("max_auroc_drop", self.max_auroc_drop, 0, 1)
        check_choice("synthetic", self.synthetic, SYNTHETIC)
        check_range("synthetic_per_kind", self.synthetic_per_kind, 1)
        check_range("synthetic_seed", self.synthetic_seed, 0)
        check_range("batch_size", self.batch_size, 1)
        check_range("baseline_images", self.baseline_images, 2)
        check_range("suspect_images", self.suspect_images, 0)
        check_range("report_images", self.report_images, 0, 100)
        check_range("report_quarantined", self.report_quarantined, 0)
