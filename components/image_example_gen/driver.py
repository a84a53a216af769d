"""Makes the state of the image folders a part of the cache's key."""

import dataclasses
import json
from collections.abc import Sequence

from google.protobuf import message
from tfx.components.example_gen import utils
from tfx.dsl.components.base import base_driver as component_base_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2

from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.spans import Span, resolve_window, window_fingerprint
from proganomaly.components.settings import from_json

RESOLVED_WINDOW = "resolved_window"


class Driver(component_base_driver.BaseDriver, base_driver.BaseDriver):
    """Runs before the cache is asked: a new image, mask or span runs the step, unchanged folders do not.

    TFX's own driver for files looks at patterns of input files, and so at images or masks but not at both.

    Two base classes, as TFX's drivers have: a component asks for the one, the runner calls the other.
    """

    def __init__(self, metadata_handle: metadata.Metadata):
        component_base_driver.BaseDriver.__init__(self, metadata_handle)
        base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> message.Message:
        """Resolves the spans and takes their fingerprint.

        Args:
            execution_info: With the properties `input_base` and `settings`.

        Returns:
            A DriverOutput with the properties `resolved_window`, `span` and `input_fingerprint`, for the
            executor and for the key.

        Raises:
            UserError: a folder is missing, or without the images that it must have.
        """
        properties = execution_info.exec_properties
        settings = from_json(ImageExampleGenSettings, properties["settings"])
        window = resolve_window(properties["input_base"], settings.window)
        found = {
            RESOLVED_WINDOW: window_to_text(window),
            utils.SPAN_PROPERTY_NAME: window[-1].number,
            utils.FINGERPRINT_PROPERTY_NAME: window_fingerprint(window, settings),
        }
        result = driver_output_pb2.DriverOutput()  # type: ignore[attr-defined]
        for name, value in (properties | found).items():
            data_types_utils.set_metadata_value(result.exec_properties[name], value)
        return result


def window_to_text(window: Sequence[Span]) -> str:
    """Returns spans as JSON, for an execution property."""
    return json.dumps([dataclasses.astuple(span) for span in window])


def window_from_text(text: str) -> tuple[Span, ...]:
    """Returns the spans that `window_to_text` wrote."""
    return tuple(Span(*values) for values in json.loads(text))
