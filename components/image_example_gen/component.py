"""ImageExampleGen: a folder of images in, splits of tf.Examples out."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.image_example_gen import driver, executor
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.settings import to_json


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Outputs and properties of ImageExampleGen."""

    PARAMETERS = {
        "input_base": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Reads an image folder (see `layouts`), one Example per image (see `records.image_example`).

    It is no subclass of TFX's FileBasedExampleGen: that one splits by patterns of files and knows neither
    masks beside images, nor a calibration split carved out of one folder while others stand for themselves.

    Component `outputs` contains:
     - `examples`: Channel of type `standard_artifacts.Examples` with the splits `train`, `calibration` and,
       where there are such images, `test`; `quarantine.jsonl` with the path, stage and reason of every file
       that cannot be used; custom properties `images_found`, `images_ingested`, `images_quarantined`, `span`.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(self, root: str, settings: ImageExampleGenSettings, code_version: str = "") -> None:
        """Builds the component.

        Args:
            root: The image folder; it may hold `{SPAN}`, or `{YYYY}`, `{MM}` and `{DD}` (see `spans`).
            settings: How the folder becomes splits.
            code_version: Part of the cache's key: another version runs anew.
        """
        spec = ImageExampleGenSpec(
            input_base=root,
            settings=to_json(settings),
            code_version=code_version,
            examples=channel.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)
