"""Writes the pyramid of every split, with the transform graph that decoded its images."""

from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact, artifact_utils
from tfx_bsl.public import tfxio

from proganomaly.components.errors import UserError, errors_of_workers
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid import preprocessing, shards
from proganomaly.components.pyramid.data_anomalies import check_data_anomalies
from proganomaly.components.pyramid.inventory import Inventory, take_inventory, unzipped
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.pyramid.shard_writer import WriteShard
from proganomaly.components.records import pyramid_folder
from proganomaly.components.settings import from_json

_TRAIN = "train"
_TEMPORARY = "tmp"
# Where TFTransformOutput looks for the features that the graph reads.
_RAW_METADATA = "metadata"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of PyramidTransform."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Analyses the training images and transforms every split.

        Args:
            input_dict: `examples`; `anomalies` where data is validated.
            output_dict: `transform_graph` and `pyramid`; see the component.
            exec_properties: `settings` and `image_spec` as JSON.

        Raises:
            UserError: a file of Examples is damaged, an image cannot be decoded, a split is without images,
                or the data is to be refused for its anomalies.
        """
        settings = from_json(PyramidSettings, exec_properties["settings"])
        spec = from_json(ImageSpec, exec_properties["image_spec"])
        check_data_anomalies(input_dict.get("anomalies", []), settings.on_data_anomalies)
        examples = input_dict["examples"]
        splits = artifact_utils.decode_split_names(examples[0].split_names)
        if _TRAIN not in splits:
            raise UserError(f"the data needs a split named {_TRAIN}; received {', '.join(splits) or 'none'}")
        files = {
            split: [path for uri in artifact_utils.get_split_uris(examples, split) for path in _files(uri)]
            for split in splits
        }

        pyramid = artifact_utils.get_single_instance(output_dict["pyramid"])
        graph_uri = artifact_utils.get_single_uri(output_dict["transform_graph"])
        _clear(pyramid.uri)
        # TensorFlow Transform does not write over a graph.
        if tf.io.gfile.isdir(graph_uri):
            tf.io.gfile.rmtree(graph_uri)
        temp_dir = f"{pyramid.uri}/{_TEMPORARY}"
        with (
            errors_of_workers(),
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temp_dir=temp_dir),
        ):
            _build(pipeline, files, spec, settings, graph_uri, pyramid.uri, temp_dir)
        tf.io.gfile.rmtree(temp_dir)
        _remove_attempts(pyramid.uri, splits)
        images = pyramid_folder.read_pyramid_info(pyramid.uri).images
        if 0 in images.values():
            raise UserError(f"every split needs at least one image; received {images}")
        pyramid.split_names = artifact_utils.encode_split_names(splits)
        pyramid.set_string_custom_property("payload", "pyramid")


def _files(split_uri: str) -> list[str]:
    """Returns the files of a split, but for hidden ones."""
    return [path for path in tf.io.gfile.glob(f"{split_uri}/*") if path.rpartition("/")[2][0] not in "._"]


def _clear(pyramid_uri: str) -> None:
    """Removes what a run that was killed has left: its shards may be others than those to come."""
    if not tf.io.gfile.isdir(pyramid_uri):
        return
    pyramid_folder.remove_pyramid_info(pyramid_uri)
    for name in tf.io.gfile.listdir(pyramid_uri):
        if name.startswith(("Split-", _TEMPORARY)):
            tf.io.gfile.rmtree(f"{pyramid_uri}/{name}")


def _remove_attempts(pyramid_uri: str, splits: list[str]) -> None:
    """Removes half-written files of workers that were killed while others did their work anew."""
    for split in splits:
        for path in tf.io.gfile.glob(f"{pyramid_folder.split_folder(pyramid_uri, split)}/r*/.*"):
            tf.io.gfile.remove(path)


def _build(
    pipeline: beam.Pipeline,
    files: dict[str, list[str]],
    spec: ImageSpec,
    settings: PyramidSettings,
    graph_uri: str,
    pyramid_uri: str,
    temp_dir: str,
) -> None:
    """Builds the whole Beam pipeline, from the Examples to `pyramid.json`."""
    schema = schema_utils.schema_from_feature_spec(preprocessing.raw_feature_spec())
    tensors = tfxio.TFExampleBeamRecord(
        physical_format="inventory", telemetry_descriptors=["PyramidTransform"], schema=schema
    ).TensorAdapterConfig()
    inventories = {
        split: pipeline
        | f"Files[{split}]" >> beam.Create(paths)
        | f"Spread[{split}]" >> beam.Reshuffle()
        | f"Unzip[{split}]" >> beam.Map(unzipped, temp_dir)
        | f"TakeInventory[{split}]" >> beam.Map(take_inventory)
        for split, paths in files.items()
    }
    analysed = inventories[_TRAIN] | "Statistics" >> beam.Map(_analysis_batch, tensors.arrow_schema)
    transform_fn = (analysed, tensors) | tft_beam.AnalyzeDataset(preprocessing.make_preprocessing_fn(spec))
    graph_is_written = transform_fn | tft_beam.WriteTransformFn(graph_uri)
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), f"{graph_uri}/{_RAW_METADATA}")

    counts = []
    for split, inventory in inventories.items():
        number = (
            inventory
            | f"Size[{split}]" >> beam.Map(_size)
            | f"Count[{split}]" >> beam.CombineGlobally(sum)
            | f"CountShards[{split}]" >> beam.Map(shards.count_shards, spec, settings.shard_mebibytes)
        )
        num_shards = beam.pvalue.AsSingleton(number)
        written = (
            inventory
            | f"Cut[{split}]" >> beam.FlatMap(shards.cut_into_shards, num_shards)
            | f"Group[{split}]" >> beam.GroupByKey()
            | f"Write[{split}]"
            >> beam.ParDo(
                WriteShard(graph_uri, pyramid_folder.split_folder(pyramid_uri, split), spec),
                num_shards,
                beam.pvalue.AsSingleton(graph_is_written),
            )
        )
        counts.append(
            written
            | f"Sum[{split}]" >> beam.CombineGlobally(sum)
            | f"Name[{split}]" >> beam.Map(lambda images, name=split: (name, images))
        )
    _ = (
        counts
        | beam.Flatten()
        | beam.combiners.ToDict()
        | "WriteInfo" >> beam.Map(_write_info, pyramid_uri, spec)
    )


def _analysis_batch(inventory: Inventory, schema: pa.Schema) -> pa.RecordBatch:
    return preprocessing.analysis_batch(inventory.statistics, schema)


def _size(inventory: Inventory) -> int:
    return len(inventory.places)


def _write_info(images: dict[str, int], pyramid_uri: str, spec: ImageSpec) -> None:
    """Writes `pyramid.json`, the last of all."""
    pyramid_folder.write_pyramid_info(pyramid_uri, pyramid_folder.PyramidInfo(spec, images))
