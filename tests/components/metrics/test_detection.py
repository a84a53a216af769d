"""Measures of images against scikit-learn and against counts by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from proganomaly.components.metrics.detection import IMAGE_MEASURES, image_auroc, image_measures


def slow_fpr_at_95_tpr(labels, scores):
    """The least false-positive rate of all thresholds that find 95 %."""
    rates = []
    for threshold in np.unique(scores):
        if np.mean(scores[labels == 1] >= threshold) >= 0.95:
            rates.append(np.mean(scores[labels == 0] >= threshold))
    return min(rates)


def test_image_auroc_is_the_share_of_pairs_in_order_with_ties_as_half():
    # Pairs (anomalous, normal): .8 beats .1, .4, .4; .4 beats .1 and ties twice: 3 + 1 + 2 / 2 = 5 of 6.
    assert image_auroc([1, 0, 0, 1, 0], [0.8, 0.1, 0.4, 0.4, 0.4]) == pytest.approx(5 / 6)


def test_average_precision_by_hand():
    # Recall goes up by 1/2 at precision 1/1 and by 1/2 at precision 2/3.
    measured = image_measures([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert measured["average_precision"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_fpr_at_95_tpr_by_hand():
    # 19 of 20 anomalies are found above .5, with 1 of 4 normal images; the last one lies below all.
    labels = np.array([1] * 20 + [0] * 4)
    scores = np.array([0.9] * 18 + [0.5, 0.0] + [0.6, 0.4, 0.3, 0.2])
    assert image_measures(labels, scores)["fpr_at_95_tpr"] == pytest.approx(1 / 4)


def test_f1_max_when_a_normal_image_scores_highest():
    assert image_measures([0, 1], [2.0, 1.0])["f1_max"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("seed", range(5))
def test_measures_are_scikit_learns(seed, decimals):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.random(60) + 0.3 * labels, decimals)
    best_f1 = max(metrics.f1_score(labels, scores >= threshold) for threshold in scores)
    assert image_measures(labels, scores) == pytest.approx(
        {
            "image_auroc": metrics.roc_auc_score(labels, scores),
            "average_precision": metrics.average_precision_score(labels, scores),
            "f1_max": best_f1,
            "fpr_at_95_tpr": slow_fpr_at_95_tpr(labels, scores),
        }
    )


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_alone_is_undefined(labels):
    scores = np.arange(len(labels), dtype=float)
    assert image_measures(labels, scores) == dict.fromkeys(IMAGE_MEASURES)
    assert image_auroc(labels, scores) is None


@given(
    seed=st.integers(0, 50),
    scale=st.floats(0.1, 10),
    power=st.sampled_from([1, 3, 5]),
    shift=st.floats(-5, 5),
)
def test_measures_depend_on_the_order_of_scores_alone(seed, scale, power, shift):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(40) % 2)
    scores = np.round(rng.random(40), 1)
    assert image_measures(labels, scale * scores**power + shift) == pytest.approx(
        image_measures(labels, scores)
    )


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1], "same shape"),
        ([0, 2], [0.1, 0.2], "0 or 1"),
        ([-1, 1], [0.1, 0.2], "0 or 1"),
        ([0, 1], [0.1, np.nan], "1 are not"),
        ([0, 1], [np.inf, 0.1], "finite"),
    ],
)
@pytest.mark.parametrize("measure", [image_measures, image_auroc])
def test_impossible_input_is_refused(measure, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        measure(labels, scores)
