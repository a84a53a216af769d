"""How well the scores of images separate what is anomalous from what is not.

Every function returns None where its measure is undefined, which is when one of the two classes is missing.
"""

from numpy.typing import ArrayLike

from proganomaly.components.metrics import curves

# What is stated of every detector, by name.
IMAGE_MEASURES: dict[str, curves.Measure] = {
    "image_auroc": curves.auroc,
    "average_precision": curves.average_precision,
    "f1_max": curves.f1_max,
    "fpr_at_95_tpr": curves.fpr_at_95_tpr,
}


def image_measures(labels: ArrayLike, scores: ArrayLike) -> dict[str, float | None]:
    """Returns all of `IMAGE_MEASURES`.

    Args:
        labels: [N], 0 normal, 1 anomalous.
        scores: [N] finite, higher means more anomalous.

    Raises:
        ValueError: the shapes differ, a label is neither 0 nor 1, or a score is not finite.
    """
    curve = curves.curve_of(labels, scores)
    return {
        name: float(measure(curve)) if curve.has_both else None for name, measure in IMAGE_MEASURES.items()
    }


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Returns the area under the ROC curve; arguments and errors as `image_measures`."""
    curve = curves.curve_of(labels, scores)
    return float(curves.auroc(curve)) if curve.has_both else None
