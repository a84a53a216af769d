"""Whether two sets of images differ: TFDV's Jensen-Shannon divergence, with thresholds that chance respects.

The divergence of two small samples is large by chance alone. So the images of both sets are dealt out anew,
thousands of times, to sets of the same sizes; a feature alarms when its divergence is above its setting and
above what all but a small share of the deals have. The share is the stated rate, divided among the features.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np
import tensorflow_data_validation as tfdv
from numpy.typing import NDArray
from scipy import special, stats
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

_BINS = 4, 10  # fewest and most bins of a number
_DEALS_BEYOND = 50  # deals above the threshold, that it may be known well
_SEED = 0
# What a divergence and TFDV's own may differ by for the order of their sums.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class FeatureDistance:
    """How far two sets of images are apart in one feature.

    Attributes:
        distance: Jensen-Shannon divergence to the base 2, in [0, 1].
        threshold: What it may be.
        alarm: Whether it is more.
    """

    distance: float
    threshold: float
    alarm: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        features: By name; all that both sets have.
        anomalies: TFDV's verdict.
        can_alarm: False where there are so few images that not even sets without anything in common could
            raise an alarm at the stated rate.
    """

    features: dict[str, FeatureDistance]
    anomalies: anomalies_pb2.Anomalies
    can_alarm: bool


def compare(
    reference: Mapping[str, NDArray],
    new: Mapping[str, NDArray],
    thresholds: Mapping[str, float],
    false_alarm_rate: float,
) -> Comparison:
    """Compares two sets of images.

    Args:
        reference: By feature, the values of at least one image: numbers or texts.
        new: The same features of other images.
        thresholds: By feature, the least divergence of an alarm.
        false_alarm_rate: Probability that anything alarms although all images come from one source.
    """
    sizes = [len(next(iter(columns.values()))) for columns in (reference, new)]
    counts = {name: _count(reference[name], new[name]) for name in reference}
    varying = [name for name, (rows, _) in counts.items() if rows.shape[1] > 1]
    level = false_alarm_rate / max(1, len(varying))
    limits = {
        name: max(thresholds[name], _limit_for(rows, level)) if name in varying else thresholds[name]
        for name, (rows, _) in counts.items()
    }
    before, after = (
        {name: (rows[side], labels) for name, (rows, labels) in counts.items()} for side in (0, 1)
    )
    schema = _as_schema({name: (limits[name], labels) for name, (_, labels) in counts.items()})
    anomalies = tfdv.validate_statistics(
        _as_statistics(after), schema, previous_statistics=_as_statistics(before)
    )
    features = {}
    for info in anomalies.drift_skew_info:
        name, (measured,) = info.path.step[0], info.drift_measurements
        alarm = measured.value > measured.threshold
        features[name] = FeatureDistance(measured.value, limits[name], alarm)
    # Numbers of which each new one is above each of the reference.
    apart, _ = _count(*np.split(np.arange(sum(sizes)), sizes[:1]))
    can_alarm = bool(divergences(*apart) > _limit_for(apart, level))
    return Comparison({name: features[name] for name in reference}, anomalies, can_alarm)


def divergences(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Returns the Jensen-Shannon divergence to the base 2 of counts [..., K] and [..., K], as [...]."""
    p, q = (counts / counts.sum(axis=-1, keepdims=True) for counts in (first, second))
    middle = (p + q) / 2
    return (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(axis=-1) / (2 * math.log(2))


def _count(reference: NDArray, new: NDArray) -> tuple[NDArray[np.int64], list[str]]:
    """Counts how often the bins of both sets together occur in each of them.

    Numbers fall into bins of equally many images, for only their order counts then: one bright outlier does
    not squeeze all others into one bin. Equal numbers share a bin. A text is a bin of its own.

    Returns:
        int64 [2, K], and the K texts; no texts for numbers.
    """
    pooled = np.concatenate([reference, new])
    labels: list[str] = []
    if pooled.dtype.kind in "US":
        texts, bins = np.unique(pooled, return_inverse=True)
        labels = [str(text) for text in texts]
    else:
        least, most = _BINS
        number = min(most, max(least, math.isqrt(min(len(reference), len(new)))))
        middle_ranks = stats.rankdata(pooled, "average") - 0.5
        bins = np.unique(np.floor(middle_ranks * number / len(pooled)), return_inverse=True)[1]
    size = int(bins.max()) + 1
    rows = [np.bincount(part, minlength=size) for part in np.split(bins, [len(reference)])]
    return np.stack(rows).astype(np.int64), labels


def _limit_for(rows: NDArray[np.int64], level: float) -> float:
    """Returns the limit of chance for counts of both sets, int64 [2, K]."""
    return _limit_of_chance(tuple(rows.sum(axis=0).tolist()), int(rows[1].sum()), level)


@functools.lru_cache
def _limit_of_chance(pooled: tuple[int, ...], new_size: int, level: float) -> float:
    """Returns what the divergence of a random deal is above with a probability of at most `level`.

    Args:
        pooled: How often each bin occurs in both sets together.
        new_size: Images that are dealt to the new set.
        level: In (0, 1).
    """
    deals = math.ceil(_DEALS_BEYOND / level)
    random = np.random.default_rng(_SEED)
    dealt = random.multivariate_hypergeometric(pooled, new_size, deals, method="marginals")
    by_chance = np.sort(divergences(np.array(pooled) - dealt, dealt))
    # With the deal that really was there are deals + 1, all equally likely.
    beyond = math.floor(level * (deals + 1))
    return float(by_chance[deals - beyond]) + _ROUNDING


def _as_statistics(
    counts: Mapping[str, tuple[NDArray[np.int64], list[str]]],
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns what TFDV compares: of each feature the histogram alone."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = result.datasets.add()
    for name, (numbers, labels) in counts.items():
        dataset.num_examples = total = int(numbers.sum())
        feature = dataset.features.add(type=_feature_type(labels, statistics_pb2.FeatureNameStatistics))
        feature.path.step.append(name)
        details = feature.string_stats if labels else feature.num_stats
        details.common_stats.num_non_missing = details.common_stats.tot_num_values = total
        details.common_stats.min_num_values = details.common_stats.max_num_values = 1
        if labels:
            for label, number in zip(labels, numbers, strict=True):
                # TFDV counts what occurs; a histogram with a count of 0 it does not read.
                if number:
                    feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=number)
        else:
            histogram = feature.num_stats.histograms.add()
            for place, number in enumerate(numbers):
                histogram.buckets.add(low_value=place, high_value=place + 1, sample_count=number)
    return result


def _as_schema(limits: Mapping[str, tuple[float, list[str]]]) -> schema_pb2.Schema:
    schema = schema_pb2.Schema()
    for name, (limit, labels) in limits.items():
        feature = schema.feature.add(name=name, type=schema_pb2.BYTES if labels else schema_pb2.FLOAT)
        feature.drift_comparator.jensen_shannon_divergence.threshold = limit
    return schema


def _feature_type(labels: list[str], types: type) -> int:
    return types.STRING if labels else types.FLOAT  # type: ignore[attr-defined]
