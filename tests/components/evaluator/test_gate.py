"""The gate: what blesses, what refuses, and what can never happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.errors import SettingsError
from proganomaly.components.evaluator.gate import Measured, decide
from proganomaly.components.evaluator.settings import EvaluatorSettings

SETTINGS = EvaluatorSettings(min_image_auroc=0.6, max_auroc_drop=0.02)
AUROC = st.floats(0, 1)


@pytest.mark.parametrize(
    "measured, blessed, words",
    [
        (Measured(0.9), True, ["reaches the minimum of 0.6000", "no served model"]),
        (Measured(0.6), True, ["reaches", "no served"]),
        (Measured(0.59), False, ["0.5900 is below the minimum of 0.6000", "no served"]),
        (
            Measured(0.9, 0.92),
            True,
            ["reaches", "0.0200 below the served model's 0.9200, within the allowed"],
        ),
        (
            Measured(0.9, 0.93),
            False,
            ["reaches", "0.0300 below the served model's 0.9300, more than the allowed"],
        ),
        (Measured(0.9, 0.7), True, ["reaches", "is not below the served model's 0.7000"]),
        (Measured(0.5, 0.4), False, ["is below the minimum", "is not below the served"]),
        (Measured(None), True, ["cannot be measured: its conditions do not apply"]),
        (Measured(None, 0.9), True, ["cannot be measured"]),
        (Measured(0.99, None, 3), False, ["gives 3 images a score that is not finite"]),
        (Measured(None, None, 1), False, ["not finite"]),
    ],
)
def test_verdict_and_reasons(measured, blessed, words):
    verdict = decide(measured, SETTINGS)
    assert verdict.blessed is blessed
    assert len(verdict.reasons) == len(words)
    for reason, word in zip(verdict.reasons, words, strict=True):
        assert word in reason


def test_labels_can_be_required():
    verdict = decide(Measured(None), EvaluatorSettings(require_labels=True))
    assert not verdict.blessed
    assert verdict.reasons[0].endswith("and require_labels is set")


SIMPLER = {"kNN-5 on pixels": 0.8, "the same networks untrained": 0.95}


@pytest.mark.parametrize(
    "auroc, words",
    [
        (0.97, ["beats kNN-5 on pixels, 0.8000", "beats the same networks untrained, 0.9500"]),
        (0.95, ["beats kNN-5 on pixels", "0.9500 does not beat the same networks untrained, 0.9500"]),
        (0.7, ["0.7000 does not beat kNN-5 on pixels", "does not beat the same networks untrained"]),
    ],
)
def test_simpler_detectors_are_told_and_refuse_only_where_asked(auroc, words):
    measured = Measured(auroc, simpler_aurocs=SIMPLER)
    told = decide(measured, SETTINGS)
    assert told.blessed
    for reason, word in zip(told.reasons[2:], words, strict=True):
        assert word in reason
    required = decide(measured, EvaluatorSettings(require_better_than_baselines=True))
    assert required.reasons == told.reasons
    assert required.blessed is not any("does not beat" in reason for reason in told.reasons)


def test_what_is_perfect_need_not_be_beaten():
    measured = Measured(1.0, simpler_aurocs={"PCA-64 on pixels": 1.0})
    verdict = decide(measured, EvaluatorSettings(require_better_than_baselines=True))
    assert verdict.blessed
    assert verdict.reasons[2] == "image AUROC 1.0000 equals PCA-64 on pixels, 1.0000"


def test_synthetic_defects_are_named_in_every_reason_about_them():
    measured = Measured(0.9, 0.95, simpler_aurocs=SIMPLER, synthetic=True)
    reasons = decide(measured, SETTINGS).reasons
    assert len(reasons) == 4
    assert all(reason.startswith("image AUROC 0.9000 on synthetic defects ") for reason in reasons)


@given(auroc=AUROC, served=st.none() | AUROC, minimum=AUROC, drop=AUROC)
def test_a_blessed_model_keeps_every_promise(auroc, served, minimum, drop):
    settings = EvaluatorSettings(min_image_auroc=minimum, max_auroc_drop=drop)
    verdict = decide(Measured(auroc, served), settings)
    promises = auroc >= minimum - 1e-8 and (served is None or auroc >= served - drop - 1e-8)
    assert not verdict.blessed or promises
    assert len(verdict.reasons) == 2


@given(auroc=AUROC, better=AUROC, served=st.none() | AUROC)
def test_a_better_model_is_never_refused_where_a_worse_one_is_blessed(auroc, better, served):
    worse, better = sorted((auroc, better))
    if decide(Measured(worse, served), SETTINGS).blessed:
        assert decide(Measured(better, served), SETTINGS).blessed


@given(auroc=st.floats(0.6, 1))
def test_the_served_model_itself_is_never_refused(auroc):
    assert decide(Measured(auroc, auroc), EvaluatorSettings(max_auroc_drop=0)).blessed


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_image_auroc": 1.1},
        {"max_auroc_drop": -0.1},
        {"batch_size": 0},
        {"baseline_images": 1},
        {"synthetic": "sometimes"},
        {"synthetic_per_kind": 0},
        {"suspect_images": -1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} must be"):
        EvaluatorSettings(**wrong)
