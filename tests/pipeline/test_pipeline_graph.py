"""How the components are joined, without running them."""

import dataclasses

import pytest
import yaml
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from proganomaly.components.data_validation.settings import DriftSettings
from proganomaly.pipeline.config import Config
from proganomaly.pipeline.pipeline import create_pipeline
from proganomaly.pipeline.serving_directory import Provenance


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Config(data="images", output=str(tmp_path_factory.mktemp("out")), name="joined")


def by_name(pipeline):
    return {component.id: component for component in pipeline.components}


def test_drift_is_looked_for_before_anything_is_written_of_the_images(config):
    pipeline = create_pipeline(config, Provenance("", ""))
    components = by_name(pipeline)
    assert components["DriftDetector"] in components["PyramidTransform"].upstream_nodes
    names = list(components)
    assert names.index("DriftDetector") < names.index("PyramidTransform")
    assert names.index("ExampleValidator") < names.index("PyramidTransform")


def test_acknowledged_alarm_is_no_reason_to_train_anew(config):
    # The cache's key is made of properties and input artifacts: of the pyramid's neither may change.
    acknowledged = dataclasses.replace(config, drift=DriftSettings(acknowledged=(3,)))
    first, second = (by_name(create_pipeline(one, Provenance("", ""))) for one in (config, acknowledged))
    for name in ("PyramidTransform", "ProgressiveTrainer"):
        assert first[name].exec_properties == second[name].exec_properties
        producers = [channel.producer_component_id for channel in first[name].inputs.values()]
        assert "DriftDetector" not in producers
    assert first["DriftDetector"].exec_properties != second["DriftDetector"].exec_properties


def test_edited_schema_counts_for_the_schema_alone(config):
    first, second = (by_name(create_pipeline(config, Provenance("", ""), edited)) for edited in ("", "abc"))
    changed = [name for name in first if first[name].exec_properties != second[name].exec_properties]
    assert changed == ["ImageSchema"]


def test_schema_is_kept_in_the_run_folder_or_where_it_is_said(config):
    assert config.schema_path == f"{config.output}/schema/schema.pbtxt"
    assert dataclasses.replace(config, schema="mine.pbtxt").schema_path == "mine.pbtxt"


def test_it_compiles_for_kubeflow_and_the_pyramid_waits_for_drift(config, tmp_path):
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image="image", use_pipeline_spec_2_1=True
        ),
        output_dir=str(tmp_path),
        output_filename="joined.yaml",
    )
    runner.run(create_pipeline(config, Provenance("", "")), write_out=True)
    tasks = yaml.safe_load((tmp_path / "joined.yaml").read_text())["root"]["dag"]["tasks"]
    assert "DriftDetector" in tasks["PyramidTransform"]["dependentTasks"]
    assert {"ImageStatistics", "ImageSchema", "ExampleValidator"} <= set(tasks)
