"""PyramidTransform: Examples of encoded images in, TFRecords of every resolution out."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid import executor
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.settings import to_json


class PyramidTransformSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of PyramidTransform."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "image_spec": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies, optional=True),
    }
    OUTPUTS = {
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "pyramid": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }


class PyramidTransform(base_beam_component.BaseBeamComponent):
    """Decodes every image and scales it down to 4x4, with Beam and TensorFlow Transform.

    Component `outputs` contains:
     - `transform_graph`: Channel of type `standard_artifacts.TransformGraph`, for `tft.TFTransformOutput`.
     - `pyramid`: Channel of type `standard_artifacts.Examples` with the custom property `payload` "pyramid":
       `Split-<split>/rNN/data-*.tfrecord` (see `records.pyramid_record`) and `pyramid.json`.
    """

    SPEC_CLASS = PyramidTransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        image_spec: ImageSpec,
        settings: PyramidSettings,
        anomalies: channel.BaseChannel | None = None,
        code_version: str = "",
    ) -> None:
        """Builds the component.

        Args:
            examples: Images as `records.image_example` describes them, with a split `train`.
            image_spec: What every image becomes.
            settings: How the pyramid is written.
            anomalies: ExampleValidator's verdict, to warn of or stop at.
            code_version: Part of the cache's key: another version runs anew.
        """
        spec = PyramidTransformSpec(
            settings=to_json(settings),
            image_spec=to_json(image_spec),
            code_version=code_version,
            examples=examples,
            anomalies=anomalies,
            transform_graph=channel.Channel(type=standard_artifacts.TransformGraph),
            pyramid=channel.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)
