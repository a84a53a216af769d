"""The pipeline as TFX sees it: images in, blessed and pushed model out."""

import dataclasses
import os
from importlib import resources

from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.orchestration import metadata, pipeline
from tfx.proto import pusher_pb2

from proganomaly.components.data_validation.component import DriftDetector, ImageSchema, ImageStatistics
from proganomaly.components.evaluator.component import AnomalyEvaluator
from proganomaly.components.image_example_gen.component import ImageExampleGen
from proganomaly.components.pyramid.component import PyramidTransform
from proganomaly.components.trainer.component import ProgressiveTrainer
from proganomaly.pipeline.beam_options import check_beam_options
from proganomaly.pipeline.code_version import code_version
from proganomaly.pipeline.config import Config
from proganomaly.pipeline.serving_directory import Provenance


def create_pipeline(config: Config, provenance: Provenance, edited_schema: str = "") -> pipeline.Pipeline:
    """Returns the pipeline of a configuration: a pure function, the same for every runner.

    Args:
        config: The resolved settings.
        provenance: What to record with the model, and the served model to compare with.
        edited_schema: Fingerprint of the kept schema where a person has changed it; see `ImageSchema`.
    """
    examples = ImageExampleGen(
        config.data,
        config.ingest,
        config.image.reading,
        store=os.path.join(config.output, "ingested") if "{" in config.data else "",
        code_version=code_version("image_example_gen"),
    )
    statistics = ImageStatistics(examples.outputs["examples"], code_version("data_validation"))
    schema = ImageSchema(
        statistics.outputs["statistics"],
        curated=curated_schema(),
        kept_at=config.schema_path,
        edited=edited_schema,
        code_version=code_version("data_validation"),
    )
    validation = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    drift = DriftDetector(examples.outputs["examples"], config.drift, code_version("data_validation"))
    pyramid = PyramidTransform(
        examples=examples.outputs["examples"],
        image_spec=config.image,
        settings=config.pyramid,
        anomalies=validation.outputs["anomalies"],
        code_version=code_version("pyramid"),
    )
    # Drift may stop the run; what it found is no input, or an acknowledged alarm would train anew.
    pyramid.add_upstream_node(drift)
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
        drift=drift.outputs["drift"],
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
        components=[examples, statistics, schema, validation, drift, pyramid, trainer, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(config.output, "metadata.sqlite")
        ),
        beam_pipeline_args=[*check_beam_options(config.beam_pipeline_args)],
    )


def curated_schema() -> str:
    """Returns the schema that ships with the pipeline, in text format."""
    return (resources.files("proganomaly.pipeline") / "schema" / "schema.pbtxt").read_text()


def _filesystem(directory: str) -> pusher_pb2.PushDestination:  # type: ignore[name-defined]
    destination = pusher_pb2.PushDestination()  # type: ignore[attr-defined]
    destination.filesystem.base_directory = directory
    return destination
