"""Writes the pyramid of a shard: reads Examples, decodes them by the transform graph, writes all levels."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.utils import shared

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid.level_writer import level_writer
from proganomaly.components.pyramid.preprocessing import PIXELS
from proganomaly.components.pyramid.shards import ShardPart, read_shard
from proganomaly.components.records.image_example import FEATURE_SPEC, IMAGE


class WriteShard(beam.DoFn):
    """Writes one shard of every level, `<split folder>/rNN/data-<shard>-of-<num_shards>.tfrecord`.

    The graph is applied here rather than by `TransformDataset`: that one hands every batch of pixels on as an
    element of its own, through two conversions to Arrow, and does not say which batches make up a shard. It
    is the artifact's own graph, the one that travels with the model.
    """

    def __init__(self, graph_uri: str, split_folder: str, spec: ImageSpec):
        self._graph_uri = graph_uri
        self._split_folder = split_folder
        self._spec = spec
        # All threads of a process share one graph.
        self._shared = shared.Shared()

    def process(
        self, shard: tuple[int, Iterable[ShardPart]], num_shards: int, graph_is_written: None
    ) -> Iterator[int]:
        """Writes a shard; yields its number of images.

        Args:
            shard: Its number and its images.
            num_shards: Number of the split's shards.
            graph_is_written: A side input that comes after the transform graph.
        """
        del graph_is_written
        transform = self._shared.acquire(lambda: load_transform(self._graph_uri, self._spec), self._graph_uri)
        number, parts = shard
        name = f"data-{number:05d}-of-{num_shards:05d}.tfrecord"
        images = 0
        with level_writer(lambda level: f"{self._split_folder}/{level}/{name}") as write:
            for names, examples in read_shard(parts, self._spec):
                for image in _decode(transform, names, examples):
                    write(image)
                images += len(names)
        yield images


def load_transform(graph_uri: str, spec: ImageSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """Loads what makes pixels of serialised Examples: string [N] becomes uint8 [N, R, R, C].

    Args:
        graph_uri: A TransformGraph artifact.
        spec: What its images are.
    """
    layer = tft.TFTransformOutput(graph_uri).transform_features_layer()
    pixels = tf.TensorSpec([spec.resolution, spec.resolution, spec.channels], tf.uint8)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def transform(examples: tf.Tensor) -> tf.Tensor:
        raw = tf.io.parse_example(examples, {IMAGE: FEATURE_SPEC[IMAGE]})
        return tf.map_fn(
            lambda row: tf.ensure_shape(tf.io.parse_tensor(row, tf.uint8), pixels.shape),
            layer(raw)[PIXELS],
            fn_output_signature=pixels,
        )

    function: Any = transform
    return function


def _decode(
    transform: Callable[[tf.Tensor], tf.Tensor], names: list[str], examples: list[bytes]
) -> np.ndarray:
    """Returns uint8 [N, R, R, C].

    Raises:
        UserError: an image cannot be decoded; it is named.
    """
    try:
        return transform(tf.constant(examples)).numpy()
    except tf.errors.OpError as error:
        if len(names) == 1:
            reason = " ".join(error.message.split())
            raise UserError(f"{names[0]}: the image cannot be decoded ({reason})") from error
        # Whichever of them it is: the batch does not say.
        for name, example in zip(names, examples, strict=True):
            _decode(transform, [name], [example])
        raise
