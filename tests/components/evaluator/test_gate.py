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
    "wrong", [{"min_image_auroc": 1.1}, {"max_auroc_drop": -0.1}, {"batch_size": 0}, {"baseline_images": 1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} must be"):
        EvaluatorSettings(**wrong)
