"""The data set's TensorFlow Transform graph: decoded pixels, and statistics relative to the training set."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from proganomaly.components.images.decode import decode_image
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records import image_example

PIXELS = "pixels"
STATISTICS = (image_example.BRIGHTNESS, image_example.CONTRAST, image_example.SHARPNESS)
_USED = (
    image_example.IMAGE,
    image_example.FILENAME,
    image_example.LABEL,
    image_example.DEFECT_TYPE,
    *STATISTICS,
)


def raw_feature_spec() -> dict[str, Any]:
    """Returns the features that the graph reads, for `schema_utils.schema_from_feature_spec`.

    TFT knows no defaults, so what an Example may lack is declared as of variable length.
    """
    spec = {name: image_example.FEATURE_SPEC[name] for name in _USED}
    return {
        name: feature if feature.default_value is None else tf.io.VarLenFeature(feature.dtype)
        for name, feature in spec.items()
    }


def make_preprocessing_fn(spec: ImageSpec) -> Callable[[Mapping[str, Any]], dict[str, tf.Tensor]]:
    """Returns the `preprocessing_fn` for images as `spec` wants them.

    Its outputs, all [N]: `pixels` (string: `tf.io.serialize_tensor` of uint8 [resolution, resolution,
    channels], as TFT knows no uint8), `filename`, `defect_type` (strings, the latter "" if unknown), `label`
    (int64: 0, 1, or -1 if unknown), and `brightness_z`, `contrast_z`, `sharpness_z` (float: standard
    deviations from the mean of the images that were analysed).

    An image of no bytes has no pixels, "": the analysis, which wants the statistics alone, passes images
    without theirs. TensorFlow would otherwise decode there as soon as the decoder holds an assertion.
    """

    def to_pixels(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            tf.strings.length(image_bytes) > 0,
            lambda: tf.io.serialize_tensor(decode_image(image_bytes, spec)),
            lambda: tf.constant(b""),
        )

    def preprocessing_fn(inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        outputs = {
            PIXELS: tf.map_fn(to_pixels, inputs[image_example.IMAGE], fn_output_signature=tf.string),
            image_example.FILENAME: inputs[image_example.FILENAME],
            image_example.LABEL: _dense(inputs, image_example.LABEL),
            image_example.DEFECT_TYPE: _dense(inputs, image_example.DEFECT_TYPE),
        }
        for name in STATISTICS:
            outputs[f"{name}_z"] = tft.scale_to_z_score(inputs[name])
        return outputs

    return preprocessing_fn


def analysis_batch(statistics: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """Returns images for the analysis: their statistics, and nothing else that `raw_feature_spec` names.

    Args:
        statistics: float32 [N, 3], `STATISTICS` of N images.
        schema: What the analysis reads.
    """
    nothing = {image_example.IMAGE: [b""], image_example.FILENAME: [b""]}
    columns = dict(zip(STATISTICS, statistics.T[:, :, np.newaxis].tolist(), strict=True))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(columns.get(field.name) or [nothing.get(field.name, [])] * len(statistics), field.type)
            for field in schema
        ],
        schema=schema,
    )


def _dense(inputs: Mapping[str, Any], name: str) -> tf.Tensor:
    """Fills a feature that an Example may lack with its default."""
    sparse = inputs[name]
    column = tf.SparseTensor(sparse.indices, sparse.values, [sparse.dense_shape[0], 1])
    default = image_example.FEATURE_SPEC[name].default_value
    return tf.squeeze(tf.sparse.to_dense(column, default), axis=1)
