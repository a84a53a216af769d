"""Writes the pyramid of every split, with the transform graph that decoded its images."""

from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from apache_beam.io.filesystem import CompressionTypes
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact, artifact_utils
from tfx_bsl.public import tfxio

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid import preprocessing, shards
from proganomaly.components.pyramid.data_anomalies import check_data_anomalies
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.records import pyramid_folder
from proganomaly.components.settings import from_json

_TRAIN = "train"
_ANALYSIS_BATCH = 256
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
            UserError: a split is without images, or the data is to be refused for its anomalies.
        """
        settings = from_json(PyramidSettings, exec_properties["settings"])
        spec = from_json(ImageSpec, exec_properties["image_spec"])
        check_data_anomalies(input_dict.get("anomalies", []), settings.on_data_anomalies)
        examples = input_dict["examples"]
        splits = artifact_utils.decode_split_names(examples[0].split_names)
        if _TRAIN not in splits:
            raise UserError(f"the data needs a split named {_TRAIN}; received {', '.join(splits) or 'none'}")
        patterns = {
            split: [f"{uri}/*" for uri in artifact_utils.get_split_uris(examples, split)] for split in splits
        }

        pyramid = artifact_utils.get_single_instance(output_dict["pyramid"])
        temp_dir = f"{pyramid.uri}/tmp"
        with self._make_beam_pipeline() as pipeline, tft_beam.Context(temp_dir=temp_dir):
            graph_uri = artifact_utils.get_single_uri(output_dict["transform_graph"])
            _build(pipeline, patterns, spec, settings, graph_uri, pyramid.uri)
        tf.io.gfile.rmtree(temp_dir)
        images = pyramid_folder.read_pyramid_info(pyramid.uri).images
        if 0 in images.values():
            raise UserError(f"every split needs at least one image; received {images}")
        pyramid.split_names = artifact_utils.encode_split_names(splits)
        pyramid.set_string_custom_property("payload", "pyramid")


def _build(
    pipeline: beam.Pipeline,
    patterns: dict[str, list[str]],
    spec: ImageSpec,
    settings: PyramidSettings,
    graph_uri: str,
    pyramid_uri: str,
) -> None:
    """Builds the whole Beam pipeline, from the Examples to `pyramid.json`."""
    schema = schema_utils.schema_from_feature_spec(preprocessing.raw_feature_spec())
    examples_io = tfxio.TFExampleBeamRecord(
        physical_format="tfrecords_gzip", telemetry_descriptors=["PyramidTransform"], schema=schema
    )
    tensors = examples_io.TensorAdapterConfig()
    records = {
        split: pipeline
        | f"Files[{split}]" >> beam.Create(files)
        | f"Read[{split}]" >> beam.io.ReadAllFromTFRecord(compression_type=CompressionTypes.GZIP)
        for split, files in patterns.items()
    }
    analysed = records[_TRAIN] | "Batch" >> examples_io.BeamSource(batch_size=_ANALYSIS_BATCH)
    transform_fn = (analysed, tensors) | tft_beam.AnalyzeDataset(preprocessing.make_preprocessing_fn(spec))
    _ = transform_fn | tft_beam.WriteTransformFn(graph_uri)
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), f"{graph_uri}/{_RAW_METADATA}")

    counts = []
    for split in patterns:
        number = (
            records[split]
            | f"Count[{split}]" >> beam.combiners.Count.Globally()
            | f"CountShards[{split}]" >> beam.Map(shards.count_shards, spec, settings.shard_mebibytes)
        )
        num_shards = beam.pvalue.AsSingleton(number)
        batches = (
            records[split]
            | f"Key[{split}]" >> beam.Map(shards.key_by_shard, num_shards)
            | f"Group[{split}]" >> beam.GroupByKey()
            | f"Decode[{split}]" >> beam.Map(shards.decode_shard, schema.SerializeToString())
        )
        transformed, _ = (
            (batches, tensors),
            transform_fn,
        ) | f"Transform[{split}]" >> tft_beam.TransformDataset(output_record_batches=True)
        folder = pyramid_folder.split_folder(pyramid_uri, split)
        counts.append(
            transformed
            | f"Write[{split}]" >> beam.Map(shards.write_shard, folder, num_shards)
            | f"Sum[{split}]" >> beam.CombineGlobally(sum)
            | f"Name[{split}]" >> beam.Map(lambda images, name=split: (name, images))
        )
    _ = (
        counts
        | beam.Flatten()
        | beam.combiners.ToDict()
        | "WriteInfo" >> beam.Map(_write_info, pyramid_uri, spec)
    )


def _write_info(images: dict[str, int], pyramid_uri: str, spec: ImageSpec) -> None:
    """Writes `pyramid.json`, the last of all."""
    pyramid_folder.write_pyramid_info(pyramid_uri, pyramid_folder.PyramidInfo(spec, images))
