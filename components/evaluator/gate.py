"""Decides whether a model may be served, and says why."""

import dataclasses

from proganomaly.components.evaluator.settings import EvaluatorSettings

# How verdict, report and summary call what a model is compared with.
SIMPLER_NAMES = {
    "knn5": "kNN-5 on pixels",
    "pca64": "PCA-64 on pixels",
    "isolation_forest": "Isolation Forest on pixels",
    "control": "the same networks untrained",
}
# Differences below this are rounding errors of the AUROC, not of the model.
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the gate needs to know.

    Attributes:
        image_auroc: The model's image AUROC; None where it is undefined, for want of one of the classes.
        served_auroc: That of the served model on the same images; None without one.
        scores_not_finite: How many images the model gave a score of infinity or not-a-number.
        simpler_aurocs: Those of the baselines and of the untrained networks on the same images, by their
            names in a sentence.
        synthetic: Whether the anomalies are synthetic defects.
    """

    image_auroc: float | None
    served_auroc: float | None = None
    scores_not_finite: int = 0
    simpler_aurocs: dict[str, float] = dataclasses.field(default_factory=dict)
    synthetic: bool = False


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model is blessed, with one reason for every condition looked at."""

    blessed: bool
    reasons: tuple[str, ...]


def decide(measured: Measured, settings: EvaluatorSettings) -> Verdict:
    """Blesses or refuses a model; every condition must hold."""
    if measured.scores_not_finite:
        reason = f"the model gives {measured.scores_not_finite} images a score that is not finite"
        return Verdict(False, (reason,))
    auroc = measured.image_auroc
    if auroc is None:
        return _without_labels(settings)
    name = f"image AUROC {auroc:.4f}{' on synthetic defects' if measured.synthetic else ''}"
    conditions = [_reaches_minimum(name, auroc, settings.min_image_auroc)]
    if measured.served_auroc is None:
        conditions.append((True, "there is no served model to compare with"))
    else:
        conditions.append(_keeps_up(name, auroc, measured.served_auroc, settings.max_auroc_drop))
    for simpler, other in measured.simpler_aurocs.items():
        beats, reason = _beats(name, auroc, simpler, other)
        conditions.append((beats or not settings.require_better_than_baselines, reason))
    return Verdict(all(holds for holds, _ in conditions), tuple(reason for _, reason in conditions))


def _without_labels(settings: EvaluatorSettings) -> Verdict:
    unmeasured = "without both labelled anomalies and normal images the image AUROC cannot be measured"
    if settings.require_labels:
        return Verdict(False, (f"{unmeasured}, and require_labels is set",))
    return Verdict(True, (f"{unmeasured}: its conditions do not apply",))


def _reaches_minimum(name: str, auroc: float, minimum: float) -> tuple[bool, str]:
    holds = auroc >= minimum - _TOLERANCE
    relation = "reaches" if holds else "is below"
    return holds, f"{name} {relation} the minimum of {minimum:.4f}"


def _keeps_up(name: str, auroc: float, served: float, max_drop: float) -> tuple[bool, str]:
    drop = served - auroc
    holds = drop <= max_drop + _TOLERANCE
    if drop <= 0:
        return holds, f"{name} is not below the served model's {served:.4f}"
    relation = "within" if holds else "more than"
    return holds, (
        f"{name} is {drop:.4f} below the served model's {served:.4f}, {relation} the allowed {max_drop:.4f}"
    )


def _beats(name: str, auroc: float, simpler: str, other: float) -> tuple[bool, str]:
    """Whether the model separates better than something simpler; where both are perfect, it need not."""
    if auroc > other + _TOLERANCE:
        return True, f"{name} beats {simpler}, {other:.4f}"
    if auroc >= 1 - _TOLERANCE:
        return True, f"{name} equals {simpler}, {other:.4f}"
    return False, f"{name} does not beat {simpler}, {other:.4f}"
