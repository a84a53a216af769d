"""ImageStatistics, ImageSchema and DriftDetector: what stands between the images and their use."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.data_validation import drift_executor, schema_executor, statistics_executor
from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.components.settings import to_json


class ImageStatisticsSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of ImageStatistics."""

    PARAMETERS = {"code_version": component_spec.ExecutionParameter(type=str)}
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}


class ImageStatistics(base_component.BaseComponent):
    """Computes TFDV's statistics of every split, from the index of the images.

    TFX's StatisticsGen reads the images themselves, up to a thousand in one batch: gigabytes of large ones.

    Component `outputs` contains:
     - `statistics`: Channel of type `standard_artifacts.ExampleStatistics`, as StatisticsGen leaves it.
    """

    SPEC_CLASS = ImageStatisticsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(statistics_executor.Executor)

    def __init__(self, examples: channel.BaseChannel, code_version: str = "") -> None:
        """Builds the component.

        Args:
            examples: With an index; see `records.image_index`.
            code_version: Part of the cache's key: another version runs anew.
        """
        statistics = channel.Channel(type=standard_artifacts.ExampleStatistics)
        super().__init__(
            spec=ImageStatisticsSpec(code_version=code_version, examples=examples, statistics=statistics)
        )


class ImageSchemaSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of ImageSchema."""

    PARAMETERS = {
        "curated": component_spec.ExecutionParameter(type=str),
        schema_executor.KEPT_AT: component_spec.ExecutionParameter(type=str),
        "edited": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class ImageSchema(base_component.BaseComponent):
    """Derives the data's schema on the first run, and keeps it for those that follow.

    So a new span is validated against what was usual before, never against itself.

    Component `outputs` contains:
     - `schema`: Channel of type `standard_artifacts.Schema`, for ExampleValidator.
    """

    SPEC_CLASS = ImageSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(schema_executor.Executor)

    def __init__(
        self,
        statistics: channel.BaseChannel,
        curated: str,
        kept_at: str,
        edited: str = "",
        code_version: str = "",
    ) -> None:
        """Builds the component.

        Args:
            statistics: Of the first run, to derive the schema from.
            curated: A schema in protobuf's text format: what holds for any images.
            kept_at: Path where the schema is kept.
            edited: Fingerprint of that file where a person has changed it (`schema.edited_fingerprint`); part
                of the cache's key.
            code_version: Part of the cache's key: another version runs anew.
        """
        schema = channel.Channel(type=standard_artifacts.Schema)
        super().__init__(
            spec=ImageSchemaSpec(
                curated=curated,
                kept_at=kept_at,
                edited=edited,
                code_version=code_version,
                statistics=statistics,
                schema=schema,
            )
        )


class DriftDetectorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of DriftDetector."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"drift": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies)}


class DriftDetector(base_component.BaseComponent):
    """Compares the normal images of the newest span with those of the spans before it.

    Component `outputs` contains:
     - `drift`: Channel of type `standard_artifacts.ExampleAnomalies`: `drift.json`, TFDV's verdict
       `SchemaDiff.pb`, the statistics `Split-reference` and `Split-new`, and `pictures`; with the custom
       property `alarms`, their number, acknowledged or not.
    """

    SPEC_CLASS = DriftDetectorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(drift_executor.Executor)

    def __init__(
        self, examples: channel.BaseChannel, settings: DriftSettings, code_version: str = ""
    ) -> None:
        """Builds the component.

        Args:
            examples: With an index; see `records.image_index`.
            settings: When it is drift, and what happens then.
            code_version: Part of the cache's key: another version runs anew.
        """
        drift = channel.Channel(type=standard_artifacts.ExampleAnomalies)
        super().__init__(
            spec=DriftDetectorSpec(
                settings=to_json(settings), code_version=code_version, examples=examples, drift=drift
            )
        )
