"""The pipeline as TFX sees it: images in, blessed and pushed model out."""

import dataclasses
import os

import tensorflow_data_validation as tfdv
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.orchestration import metadata, pipeline
from tfx.proto import pusher_pb2

from proganomaly.components.evaluator.component import AnomalyEvaluator
from proganomaly.components.image_example_gen.component import ImageExampleGen
from proganomaly.components.pyramid.component import PyramidTransform
from proganomaly.components.records.image_example import STATISTICS_FEATURES
from proganomaly.components.trainer.component import ProgressiveTrainer
from proganomaly.pipeline.code_version import code_version
from proganomaly.pipeline.config import Config
from proganomaly.pipeline.serving_directory import Provenance


def create_pipeline(config: Config, provenance: Provenance) -> pipeline.Pipeline:
    """Returns the pipeline of a configuration: a pure function, the same for every runner.

    Args:
        config: The resolved settings.
        provenance: What to record with the model, and the served model to compare with.
    """
    examples = ImageExampleGen(
        config.data,
        config.ingest,
        config.image.reading,
        store=os.path.join(config.output, "ingested") if "{" in config.data else "",
        code_version=code_version("image_example_gen"),
    )
    statistics = StatisticsGen(
        examples=examples.outputs["examples"],
        # Encoded images and masks have no statistics worth the time.
        stats_options=tfdv.StatsOptions(feature_allowlist=list(STATISTICS_FEATURES)),
    )
    schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validation = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    pyramid = PyramidTransform(
        examples=examples.outputs["examples"],
        image_spec=config.image,
        settings=config.pyramid,
        anomalies=validation.outputs["anomalies"],
        code_version=code_version("pyramid"),
    )
    trainer = ProgressiveTrainer(
        pyramid=pyramid.outputs["pyramid"],
        transform_graph=pyramid.outputs["transform_graph"],
        settings=config.trainer,
        run_root=os.path.join(config.output, "training"),
        provenance=dataclasses.asdict(provenance),
        code_version=code_version("trainer"),
    )
    evaluator = AnomalyEvaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        settings=config.evaluator,
        image_spec=config.image,
        baseline_model=provenance.baseline_model,
        code_version=code_version("evaluator"),
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=_filesystem(config.serving_directory),
    )
    return pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=os.path.join(config.output, "pipeline"),
        components=[examples, statistics, schema, validation, pyramid, trainer, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(config.output, "metadata.sqlite")
        ),
        beam_pipeline_args=list(config.beam_pipeline_args),
    )


def _filesystem(directory: str) -> pusher_pb2.PushDestination:  # type: ignore[name-defined]
    destination = pusher_pb2.PushDestination()  # type: ignore[attr-defined]
    destination.filesystem.base_directory = directory
    return destination
