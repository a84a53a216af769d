"""The training loop: from a pyramid of normal images to trained networks."""

import dataclasses
import math
import time
from collections.abc import Callable

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.checkpoint import RunCheckpoint
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
    strategy = create_strategy(settings.strategy)
    stages = schedule.stages(settings.schedule, spec.resolution)
    check_batch_sizes(stages, strategy)
    with strategy.scope():
        state = create_state(settings, spec)
        checkpoint = RunCheckpoint(state, f"{run_folder}/checkpoints")
        images_seen = checkpoint.restore()
    if images_seen:
        report(f"going on from the checkpoint at {images_seen:,} images")
    summaries = RunSummaries(run_folder, state, source, settings, images_seen)
    clock = _Clock(stages, settings, spec, images_seen)
    with Interruption() as interruption:
        for stage in stages:
            if images_seen >= stage.end:
                continue
            if images_seen == stage.start and (stage.fading or stage is stages[0]):
                reset_optimizers(state)
            step = make_step(state, settings, stage, strategy)
            for batch in _batches(source, settings, stage, images_seen, strategy):
                losses = step(
                    batch,
                    tf.constant(images_seen, tf.int64),
                    tf.constant(stage.alpha(images_seen), tf.float32),
                    tf.constant(
                        schedule.ema_decay(settings.ema_half_life, stage.batch_size, images_seen), tf.float32
                    ),
                )
                images_seen += stage.batch_size
                done = images_seen >= stage.end
                if clock.tick_is_due(images_seen) or done or interruption.requested:
                    values = {name: float(loss) for name, loss in losses.items()}
                    _check_finite(values, images_seen, run_folder)
                    report(clock.tick(stage, images_seen, values))
                    summaries.tick(stage, images_seen, values, clock.images_per_second)
                    if done or interruption.requested or clock.checkpoint_is_due():
                        checkpoint.save(images_seen)
                if interruption.requested:
                    raise KeyboardInterrupt
                if done:
                    break
            summaries.snapshot(stage, images_seen)
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
        shuffle_buffer=settings.shuffle_buffer,
        mirror_augment=settings.mirror_augment,
    )
    # Every worker reads everything and takes its part of each batch: the order is then the same for any
    # number of workers.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return strategy.experimental_distribute_dataset(dataset.with_options(options))


def _check_finite(losses: dict[str, float], images_seen: int, run_folder: str) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise UserError(
                f"training diverged: the {name} loss is {value} after {images_seen:,} images; lower "
                f"learning_rate or train in another precision (the last good checkpoint is kept in "
                f"{run_folder}/checkpoints)"
            )


class _Clock:
    """Knows when a tick is due and how much time is left."""

    def __init__(
        self, stages: list[Stage], settings: TrainerSettings, spec: ImageSpec, images_seen: int
    ) -> None:
        networks = settings.networks.for_resolution(spec.resolution)
        self._costs = {stage.resolution: schedule.relative_cost(networks, stage.resolution) for stage in stages}
        self._stages, self._settings = stages, settings
        self._started = self._last_tick = self._last_checkpoint = time.monotonic()
        self._last_images = images_seen
        self._tick = images_seen // settings.images_per_tick
        self.images_per_second = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tick_is_due(self, images_seen: int) -> bool:
        return images_seen // self._settings.images_per_tick > self._tick

    def checkpoint_is_due(self) -> bool:
        if time.monotonic() - self._last_checkpoint < self._settings.checkpoint_seconds:
            return False
        self._last_checkpoint = time.monotonic()
        return True

    def tick(self, stage: Stage, images_seen: int, losses: dict[str, float]) -> str:
        """Returns the status line of the images since the last tick."""
        now = time.monotonic()
        self.images_per_second = (images_seen - self._last_images) / max(now - self._last_tick, 1e-9)
        self._last_tick, self._last_images = now, images_seen
        self._tick = images_seen // self._settings.images_per_tick
        side, total = stage.resolution, self._stages[-1].end
        phase = f"fade-in {stage.alpha(images_seen):.2f}" if stage.fading else "stable      "
        values = "  ".join(f"{name[0].upper()} {value:8.3f}" for name, value in losses.items())
        return (
            f"{f'{side}x{side}':>9}  {phase}  {images_seen:>9,} / {total:,} images  "
            f"{self.images_per_second:7.1f} images/s  {values}  {_duration(self._left(stage, images_seen))} left"
        )

    def _left(self, stage: Stage, images_seen: int) -> float:
        """Estimates the seconds left: the present speed, scaled by the later stages' work per image."""
        work = sum(
            max(other.end - max(other.start, images_seen), 0) * self._costs[other.resolution]
            for other in self._stages
        )
        return work / self._costs[stage.resolution] / max(self.images_per_second, 1e-9)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
