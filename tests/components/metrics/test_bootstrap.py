"""Intervals against a bootstrap in so many words, and against how often they hold what they should."""

import time

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from proganomaly.components.metrics import bootstrap, curves
from proganomaly.components.metrics.detection import IMAGE_MEASURES


def best_f1(labels, scores):
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    return np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9))


def pairs_in_order(labels, scores):
    """The AUROC by its definition, without ties."""
    return np.mean(scores[labels == 1][:, None] > scores[labels == 0])


SCIKIT_LEARN = {
    "image_auroc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
    "f1_max": best_f1,
}


def draw(seed, normal=40, anomalous=30, decimals=9):
    rng = np.random.default_rng(seed)
    labels = np.array([0] * normal + [1] * anomalous)
    order = rng.permutation(len(labels))
    return labels[order], np.round(rng.normal(size=len(labels)) + labels, decimals)[order]


def redrawn(labels, random):
    return np.concatenate(
        [random.choice(np.flatnonzero(labels == kind), np.sum(labels == kind)) for kind in (0, 1)]
    )


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_interval_is_that_of_scikit_learn_on_redrawn_images(name, decimals):
    labels, scores = draw(0, decimals=decimals)
    random = np.random.default_rng(1)
    rows = [redrawn(labels, random) for _ in range(200)]
    expected = np.quantile([SCIKIT_LEARN[name](labels[row], scores[row]) for row in rows], [0.05, 0.95])
    found = bootstrap.interval(IMAGE_MEASURES[name], labels, scores, resamples=3000, confidence=0.9)
    # The percentiles of 300 draws are themselves uncertain, by some hundredths here.
    assert found == pytest.approx(expected, abs=0.03)


def test_interval_holds_the_truth_as_often_as_it_says():
    truth = stats.norm.cdf(1 / np.sqrt(2))  # scores are N(0, 1) and N(1, 1)
    held = 0
    for seed in range(60):
        low, high = bootstrap.interval(curves.auroc, *draw(seed, 60, 60), resamples=200, confidence=0.8)
        held += low <= truth <= high
    assert stats.binomtest(held, 60, 0.8).pvalue > 0.01


def test_all_measures_come_from_the_same_seeded_resamples():
    labels, scores = draw(2)
    found = bootstrap.intervals(IMAGE_MEASURES, labels, scores, seed=3)
    assert list(found) == list(IMAGE_MEASURES)
    for name, measure in IMAGE_MEASURES.items():
        assert found[name] == bootstrap.interval(measure, labels, scores, seed=3)
    assert found != bootstrap.intervals(IMAGE_MEASURES, labels, scores, seed=4)


def test_more_images_narrow_the_interval():
    widths = [
        high - low
        for low, high in (bootstrap.interval(curves.auroc, *draw(0, n, n)) for n in (20, 200, 2000))
    ]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_has_no_interval(labels):
    scores = np.arange(len(labels), dtype=float)
    assert bootstrap.intervals(IMAGE_MEASURES, labels, scores) == {}
    assert bootstrap.interval(curves.auroc, labels, scores) is None
    assert bootstrap.paired_interval(labels, scores, scores) is None


def test_perfect_scores_are_perfect_on_every_redraw():
    assert bootstrap.interval(curves.auroc, [0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0]) == (1.0, 1.0)


def test_paired_difference_is_that_on_redrawn_images():
    labels, scores = draw(0)
    other = scores + np.random.default_rng(1).normal(size=len(scores))
    random = np.random.default_rng(2)
    rows = [redrawn(labels, random) for _ in range(1000)]
    differences = [
        pairs_in_order(labels[row], scores[row]) - pairs_in_order(labels[row], other[row]) for row in rows
    ]
    found = bootstrap.paired_interval(labels, scores, other, resamples=3000)
    assert found == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.02)


def test_pairing_sees_what_two_intervals_hide():
    labels, scores = draw(0, 300, 300)
    slightly_worse = scores - 0.1 * labels
    own, other = (bootstrap.interval(curves.auroc, labels, values) for values in (scores, slightly_worse))
    assert own[0] < other[1]
    low, _ = bootstrap.paired_interval(labels, scores, slightly_worse)
    assert low > 0
    assert bootstrap.paired_interval(labels, scores, 10 * scores + 3) == pytest.approx((0, 0))


@pytest.mark.parametrize("flagged", [0, 7, 40])
def test_interval_of_a_share_is_that_of_redrawn_flags(flagged):
    flags = np.arange(40) < flagged
    rows = np.random.default_rng(0).integers(40, size=(20000, 40))
    expected = np.quantile(flags[rows].mean(axis=1), [0.025, 0.975])
    assert bootstrap.share_interval(flags) == pytest.approx(expected, abs=1 / 40 + 1e-9)
    assert bootstrap.share_interval([]) is None


def test_ten_thousand_scores_take_seconds():
    labels, scores = draw(0, 1000, 9000)
    started = time.process_time()
    bootstrap.intervals(IMAGE_MEASURES, labels, scores)
    assert time.process_time() - started < 10


def test_impossible_input_is_refused():
    with pytest.raises(ValueError, match="same shape"):
        bootstrap.paired_interval([0, 1], [0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="finite"):
        bootstrap.intervals(IMAGE_MEASURES, [0, 1], [0.1, np.nan])
