"""Makes the state of the image folder a part of the cache's key."""

from google.protobuf import message
from tfx.components.example_gen import utils
from tfx.dsl.components.base import base_driver as component_base_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2

from proganomaly.components.image_example_gen.layouts import fingerprint, list_images
from proganomaly.components.image_example_gen.spans import resolve_span

RESOLVED_ROOT = "resolved_root"


class Driver(component_base_driver.BaseDriver, base_driver.BaseDriver):
    """Runs before the cache is asked: a new image, mask or span runs the step, an unchanged folder does not.

    TFX's own driver for files looks at patterns of input files, and so at images or masks but not at both.

    Two base classes, as TFX's drivers have: a component asks for the one, the runner calls the other.
    """

    def __init__(self, metadata_handle: metadata.Metadata):
        component_base_driver.BaseDriver.__init__(self, metadata_handle)
        base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> message.Message:
        """Resolves the span and takes the folder's fingerprint.

        Args:
            execution_info: With the property `input_base`.

        Returns:
            A DriverOutput with the properties `resolved_root`, `span` and `input_fingerprint`, for the
            executor and for the key.

        Raises:
            UserError: the folder is missing, or without the images that it must have.
        """
        root, span = resolve_span(execution_info.exec_properties["input_base"])
        found = {
            RESOLVED_ROOT: root,
            utils.SPAN_PROPERTY_NAME: span,
            utils.FINGERPRINT_PROPERTY_NAME: fingerprint(list_images(root)),
        }
        result = driver_output_pb2.DriverOutput()  # type: ignore[attr-defined]
        for name, value in (execution_info.exec_properties | found).items():
            data_types_utils.set_metadata_value(result.exec_properties[name], value)
        return result
