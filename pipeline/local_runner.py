"""Runs the pipeline on this machine, one component after the other, and says what happens."""

import dataclasses
import logging
import time

import ml_metadata as mlmd
import tensorflow as tf
from absl import logging as absl_logging
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import Artifact, standard_artifacts

from proganomaly.components.data_validation import schema_executor

# Artifacts of which a copy stands elsewhere, and the property that says where.
_COPIED_TO = {
    standard_artifacts.PushedModel.TYPE_NAME: "pushed_destination",
    standard_artifacts.Schema.TYPE_NAME: schema_executor.KEPT_AT,
}


@dataclasses.dataclass(frozen=True)
class ComponentRun:
    """What one component did.

    Attributes:
        name: The component's id.
        seconds: Wall-clock time.
        cached: Whether its outputs came from the cache.
        outputs: Its artifacts by output key.
    """

    name: str
    seconds: float
    cached: bool
    outputs: dict[str, Artifact]


def run_locally(pipeline: Pipeline) -> list[ComponentRun]:
    """Runs the pipeline with LocalDagRunner and prints a line when a component begins and ends.

    Returns:
        What the components did, in the order in which they ran.

    Raises:
        UserError: a component met something that the user can mend.
        KeyboardInterrupt: the run was interrupted.
    """
    _forget_lost_copies(pipeline)
    progress = _Progress(pipeline)
    # TFX's thousands of messages go to our handler alone; what Beam says goes nowhere below an error.
    logger = absl_logging.get_absl_logger()
    logger.addHandler(progress)
    logger.propagate = False
    absl_logging.set_verbosity(absl_logging.INFO)
    logging.getLogger().setLevel(logging.ERROR)
    tf.get_logger().setLevel(logging.ERROR)
    try:
        LocalDagRunner().run(pipeline)
    finally:
        logger.removeHandler(progress)
    if progress.error is not None:
        raise progress.error
    return progress.runs


def _forget_lost_copies(pipeline: Pipeline) -> None:
    """Makes a component write again what somebody has deleted: a model that was pushed, the kept schema.

    The cache asks only whether the component's own copy is there, so that copy goes too.
    """
    with metadata.Metadata(pipeline.metadata_connection_config) as handle:
        for type_name, place in _COPIED_TO.items():
            for artifact in handle.store.get_artifacts_by_type(type_name):
                copy = artifact.custom_properties[place].string_value
                if copy and not tf.io.gfile.exists(copy) and tf.io.gfile.exists(artifact.uri):
                    tf.io.gfile.rmtree(artifact.uri)


class _Progress(logging.Handler):
    """Follows LocalDagRunner by the two messages that it logs around each component.

    The runner has no callbacks; what a component did is then read from the metadata store.
    """

    _BEGINS, _ENDS = "Component %s is running.", "Component %s is finished."

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(logging.INFO)
        self.runs: list[ComponentRun] = []
        self.error: Exception | None = None
        self._pipeline = pipeline
        self._started = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in (self._BEGINS, self._ENDS):
            return
        name = str(record.args[0])  # type: ignore[index]
        total = len(self._pipeline.components)
        if record.msg == self._BEGINS:
            self._started = time.monotonic()
            print(f"[{len(self.runs) + 1}/{total}] {name} ...", flush=True)
            return
        seconds = time.monotonic() - self._started
        try:
            execution, outputs = _last_execution(self._pipeline, name)
        except Exception as error:  # logging must not raise into TFX; run_locally does it for us
            self.error = error
            return
        cached = execution.last_known_state == mlmd.proto.Execution.CACHED
        self.runs.append(ComponentRun(name, seconds, cached, outputs))
        print(f"[{len(self.runs)}/{total}] {name}: {_how(self.runs[-1])}", flush=True)


def _how(run: ComponentRun) -> str:
    return "from the cache" if run.cached else f"done in {run.seconds:.1f} s"


def _last_execution(pipeline: Pipeline, component: str) -> tuple[mlmd.proto.Execution, dict[str, Artifact]]:
    """Returns the newest execution of a component and its outputs."""
    name = f"{pipeline.pipeline_info.pipeline_name}.{component}"
    with metadata.Metadata(pipeline.metadata_connection_config) as handle:
        context = handle.store.get_context_by_type_and_name("node", name)
        assert context is not None
        execution = max(handle.store.get_executions_by_context(context.id), key=lambda found: found.id)
        outputs = execution_lib.get_output_artifacts(handle, execution.id)
    return execution, {key: artifacts[0] for key, artifacts in outputs.items() if artifacts}
