"""Puts out the schema that the run folder keeps; on the first run derives it."""

from typing import Any

from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact, artifact_utils
from tfx.utils import io_utils

from proganomaly.components.data_validation import schema as schemas
from proganomaly.components.files import writing

_FILE_NAME = "schema.pbtxt"
KEPT_AT = "kept_at"


class Executor(base_executor.BaseExecutor):
    """Executor of ImageSchema."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads the kept schema, or derives it and keeps it.

        Args:
            input_dict: `statistics`.
            output_dict: `schema`.
            exec_properties: `curated` (a schema in text format), `kept_at` (a path).

        Raises:
            UserError: the kept schema cannot be read, or the derived one cannot be written.
        """
        path = exec_properties[KEPT_AT]
        schema = schemas.read_kept(path)
        if schema is None:
            statistics = artifact_utils.get_single_instance(input_dict["statistics"])
            schema = schemas.derive(
                schemas.parse(exec_properties["curated"], "that ships"),
                (
                    stats_artifact_utils.load_statistics(statistics, split).proto().datasets[0]
                    for split in artifact_utils.decode_split_names(statistics.split_names)
                ),
            )
            with writing(f"the schema {path}"):
                schemas.write_kept(path, schema)
        output = artifact_utils.get_single_instance(output_dict["schema"])
        io_utils.write_pbtxt_file(f"{output.uri}/{_FILE_NAME}", schema)
        output.set_string_custom_property(KEPT_AT, path)
