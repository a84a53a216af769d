"""ImageExampleGen: folders of images in, splits of tf.Examples out."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from proganomaly.components.image_example_gen import driver, executor
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images.spec import Reading
from proganomaly.components.settings import to_json

_AS_THEY_ARE = Reading()


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Outputs and properties of ImageExampleGen."""

    PARAMETERS = {
        "input_base": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "reading": component_spec.ExecutionParameter(type=str),
        "store": component_spec.ExecutionParameter(type=str),
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
       where there are such images, `test`, as uncompressed TFRecords; `index.jsonl` (see
       `records.image_index`); `quarantine.jsonl` with the path, stage and reason of every file that cannot be
       used; custom properties `images_found` = `images_ingested` + `images_quarantined`, `files_passed_over`
       (files that are not meant as images) and `span`, the newest.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(
        self,
        root: str,
        settings: ImageExampleGenSettings,
        reading: Reading = _AS_THEY_ARE,
        store: str = "",
        code_version: str = "",
    ) -> None:
        """Builds the component.

        Args:
            root: The image folder; it may hold `{SPAN}`, or `{YYYY}`, `{MM}` and `{DD}` (see `spans`).
            settings: How the folder becomes splits.
            reading: How the images are read.
            store: Folder where inspected spans are kept, so that an unchanged one is not read again; "" to
                keep none.
            code_version: Part of the cache's key: another version runs anew.
        """
        spec = ImageExampleGenSpec(
            input_base=root,
            settings=to_json(settings),
            reading=to_json(reading),
            store=store,
            code_version=code_version,
            examples=channel.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)
