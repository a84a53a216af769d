"""TFDV's statistics of images, from their index: without a byte of their pixels, so memory stays flat."""

from collections.abc import Iterable, Sequence

import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from proganomaly.components.records.image_example import STATISTICS_FEATURES
from proganomaly.components.records.image_index import IndexEntry


def as_frame(entries: Iterable[IndexEntry]) -> pd.DataFrame:
    """Returns the features that have statistics, a row per image."""
    rows = ([getattr(entry, name) for name in STATISTICS_FEATURES] for entry in entries)
    return pd.DataFrame(rows, columns=list(STATISTICS_FEATURES))


def compute_statistics(
    entries: Sequence[IndexEntry], name: str = ""
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Computes the statistics of images.

    Args:
        entries: At least one.
        name: What TFDV's plots call them.
    """
    statistics = tfdv.generate_statistics_from_dataframe(as_frame(entries))
    statistics.datasets[0].name = name
    return statistics
