"""The training loop: from a pyramid of normal images to trained networks."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.clock import Clock
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.distribution import check_batch_sizes, create_strategy
from proganomaly.components.trainer.interruption import Interruption
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState, create_state, make_step, reset_optimizers
from proganomaly.components.trainer.summaries import RunSummaries

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a finished run leaves.

    Attributes:
        state: The trained networks and their averages.
        images_seen: Images seen in the whole run.
        seconds: Wall-clock time of training in this process.
    """

    state: TrainingState
    images_seen: int
    seconds: float


def train(
    source: PyramidSource, spec: ImageSpec, settings: TrainerSettings, run_folder: str, report: Report
) -> TrainedRun:
    """Trains the networks, from the newest checkpoint in `run_folder` if there is one.

    Args:
        source: The training images.
        spec: Resolution and channels of the networks.
        settings: How to train.
        run_folder: Where checkpoints, TensorBoard logs, samples and `stats.jsonl` go.
        report: Receives one line per tick.

    Raises:
        UserError: a setting does not fit the data or the devices, or training diverged.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    strategy = create_strategy(settings.execution)
    stages = schedule.stages(settings.schedule, spec.resolution, source.images)
    check_batch_sizes(stages, strategy)
    with strategy.scope():
        state = create_state(settings, spec)
        checkpoint = RunCheckpoint(state, f"{run_folder}/checkpoints")
        images_seen = checkpoint.restore()
        # A checkpoint has the rate that it was trained with; the settings may have another by now.
        for optimizer in state.optimizers.values():
            optimizer.learning_rate = settings.optimizer.learning_rate
    if images_seen:
        report(f"going on from the checkpoint at {images_seen:,} images")
    summaries = RunSummaries(run_folder, state, source, settings, images_seen)
    clock = Clock(stages, settings, spec, images_seen)
    resolution = 0
    with Interruption() as interruption:
        for stage in stages:
            if images_seen >= stage.end:
                resolution = stage.resolution
                continue
            if images_seen == stage.start and stage.resolution != resolution:
                reset_optimizers(state)
            resolution = stage.resolution
            step = make_step(state, settings, stage, strategy)
            for batch in _batches(source, settings, stage, images_seen, strategy):
                losses = step(batch, images_seen)
                images_seen += stage.batch_size
                clock.step(stage, images_seen)
                done = images_seen >= stage.end
                if clock.tick_is_due():
                    values = _finite(losses, images_seen, run_folder)
                    report(clock.tick(values))
                    summaries.tick(stage, images_seen, values, clock.images_per_second)
                if done or interruption.requested or clock.checkpoint_is_due():
                    _finite(losses, images_seen, run_folder)
                    _check_weights(state, images_seen, run_folder)
                    checkpoint.save(images_seen)
                if interruption.requested:
                    raise KeyboardInterrupt
                if done:
                    break
            summaries.snapshot(stage, images_seen)
        if interruption.requested:
            raise KeyboardInterrupt
    return TrainedRun(state, images_seen, clock.seconds)


def _batches(
    source: PyramidSource,
    settings: TrainerSettings,
    stage: Stage,
    images_seen: int,
    strategy: tf.distribute.Strategy,
) -> tf.distribute.DistributedDataset:
    dataset = training_batches(
        source,
        stage.resolution,
        stage.batch_size,
        position=images_seen,
        seed=settings.seed,
        shuffle_buffer=settings.data.shuffle_buffer,
        mirror_augment=settings.data.mirror_augment,
    )
    # Every worker reads everything and takes its part of each batch: the order is then the same for any
    # number of workers.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return strategy.experimental_distribute_dataset(dataset.with_options(options))


def _finite(losses: dict[str, tf.Tensor], images_seen: int, run_folder: str) -> dict[str, float]:
    """Returns the losses as numbers; raises UserError where one is not finite."""
    values = {name: float(loss) for name, loss in losses.items()}
    for name, value in values.items():
        # A gradient in float16 may overflow: its step is left out, and the loss scale halved.
        if name.startswith("loss/") and not math.isfinite(value):
            raise _diverged(f"{name} is {value}", images_seen, run_folder)
    return values


def _check_weights(state: TrainingState, images_seen: int, run_folder: str) -> None:
    """Raises UserError where a weight is not finite: a step's losses are those before its update."""
    for variable in state.networks.variables():
        if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
            raise _diverged(f"the weight {variable.path} is not finite", images_seen, run_folder)


def _diverged(symptom: str, images_seen: int, run_folder: str) -> UserError:
    return UserError(
        f"training diverged: {symptom} after {images_seen:,} images; lower learning_rate (the last good "
        f"checkpoint is kept in {run_folder}/checkpoints)"
    )
