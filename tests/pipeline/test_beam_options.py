"""Options of Beam's runners: what Beam reads from them, and mistakes told in one line."""

import pytest
from apache_beam.io.gcp import gcsio
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions
from tfx.dsl.components.base import base_beam_executor

from proganomaly.components.errors import SettingsError
from proganomaly.components.image_example_gen.executor import Executor
from proganomaly.pipeline.beam_options import check_beam_options

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=europe-west1",
    "--temp_location=gs://my-bucket/tmp",
    "--staging_location=gs://my-bucket/staging",
    "--sdk_container_image=europe-docker.pkg.dev/my-project/images/proganomaly:1",
    "--max_num_workers=20",
]
FLINK = ["--runner=FlinkRunner", "--flink_master=localhost:8081", "--environment_type=LOOPBACK"]


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch):
    """Beam asks the bucket for its deletion policy, here without a network."""
    monkeypatch.setattr(gcsio.GcsIO, "__init__", lambda self, **options: None)
    monkeypatch.setattr(gcsio.GcsIO, "is_soft_delete_enabled", lambda self, path: False)


def test_dataflow_options_arrive_in_an_executors_pipeline():
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=check_beam_options(DATAFLOW))
    options = Executor(context)._make_beam_pipeline().options
    cloud, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    assert (cloud.project, cloud.region) == ("my-project", "europe-west1")
    assert (cloud.temp_location, cloud.staging_location) == ("gs://my-bucket/tmp", "gs://my-bucket/staging")
    assert workers.sdk_container_image.endswith("/proganomaly:1") and workers.max_num_workers == 20
    # TFX adds its labels, and no package that it would have to build.
    assert not PipelineOptions(context.beam_pipeline_args).get_all_options()["extra_packages"]


@pytest.mark.parametrize("options", [[], FLINK, ["--runner=SparkRunner"], ["--runner=PrismRunner"]])
def test_options_of_other_runners_pass_untouched(options):
    assert check_beam_options(options) == options


@pytest.mark.parametrize(
    "options, words",
    [
        ([option for option in DATAFLOW if "project=" not in option], "project"),
        ([*DATAFLOW, "--job_name=My_Job"], "My_Job"),
        ([*DATAFLOW, "--num_workers=30"], "max_num_workers"),
        ([*DATAFLOW, "--max_num_workers=many"], "many"),
        ([option for option in DATAFLOW if "image" not in option], "--sdk_container_image"),
        (["--direct_running_mode=fast"], "fast"),
        (["--runner=Nonsense"], "Nonsense"),
    ],
)
def test_mistakes_are_told_in_one_line(options, words):
    with pytest.raises(SettingsError, match=words) as raised:
        check_beam_options(options)
    assert "\n" not in str(raised.value) and str(raised.value).startswith("beam_pipeline_args: ")
