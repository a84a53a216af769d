"""Computes the statistics of every split from the index of the images."""

from typing import Any

from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.types import artifact, artifact_utils

from proganomaly.components.data_validation.statistics import compute_statistics
from proganomaly.components.files import write_atomic
from proganomaly.components.records.image_index import IndexEntry, read_index


class Executor(base_executor.BaseExecutor):
    """Executor of ImageStatistics."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `Split-<split>/FeatureStats.pb`, as TFX's StatisticsGen does.

        Args:
            input_dict: `examples`, with `index.jsonl`.
            output_dict: `statistics`.
            exec_properties: Nothing that is used.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        by_split: dict[str, list[IndexEntry]] = {}
        for entry in read_index(examples.uri):
            by_split.setdefault(entry.split, []).append(entry)
        for split, entries in by_split.items():
            content = compute_statistics(entries, split).SerializeToString()
            write_atomic(f"{statistics.uri}/Split-{split}/{DEFAULT_FILE_NAME}", content)
        statistics.split_names = artifact_utils.encode_split_names(list(by_split))
        statistics.span = examples.span
