"""The training loop: from a pyramid of normal images to trained networks."""

import contextlib
import dataclasses
import gc
import os
import time

import tensorflow as tf

from proganomaly.components.files import require_folder, writing
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.clock import Clock
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.distribution import (
    check_batch_sizes,
    create_strategy,
    distribute_batches,
    replica_indices,
)
from proganomaly.components.trainer.divergence import Diverged, Rollbacks, check_state, finite
from proganomaly.components.trainer.interruption import Interruption
from proganomaly.components.trainer.report import Report, Reporter
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState, create_state, make_step, reset_optimizers
from proganomaly.components.trainer.summaries import RunSummaries
from proganomaly.components.trainer.warm_start import load_weights
from proganomaly.components.trainer.workers import Workers


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a finished run leaves.

    Attributes:
        state: The trained networks and their averages.
        images_seen: Images seen in the whole run.
        seconds: Wall-clock time of training in this process.
        workers: The processes that trained; of several, only the chief goes on to export.
    """

    state: TrainingState
    images_seen: int
    seconds: float
    workers: Workers


def train(
    source: PyramidSource, spec: ImageSpec, settings: TrainerSettings, run_folder: str, report: Report
) -> TrainedRun:
    """Trains the networks, from the newest checkpoint in `run_folder` if there is one.

    Args:
        source: The training images.
        spec: Resolution and channels of the networks.
        settings: How to train.
        run_folder: Where checkpoints, TensorBoard logs, samples and `stats.jsonl` go.
        report: Receives one line per tick; of several workers only the chief's.

    Raises:
        UserError: a setting does not fit the data or the devices, the folder cannot be written to,
            training diverged more often than it may, or another worker has gone.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    started = time.monotonic()
    strategy = create_strategy(settings.execution)
    stages = schedule.stages(settings.schedule, spec.resolution, source.images)
    check_batch_sizes(stages, strategy)
    workers = Workers(strategy)
    reporter = Reporter(report if workers.is_chief else _in_silence, settings.logging.verbosity)
    if workers.is_chief:
        require_folder("run", run_folder)
    rollbacks = Rollbacks(f"{run_folder}/checkpoints", settings.checkpoints, workers.is_chief)
    with workers.telling_of_losses(), Interruption() as interruption:
        workers.check_equal(
            "settings, training images and run folder",
            (settings, source.images, os.path.basename(run_folder)),
        )
        while True:
            run = _Run(
                source, spec, settings, run_folder, reporter, strategy, workers, stages, rollbacks.rate_factor
            )
            try:
                run.go(interruption)
            except Diverged as symptom:
                # Going back is going on anew: from the last checkpoint, or from the seed if there is none.
                rollbacks.roll_back(symptom, reporter)
                del run
            else:
                return TrainedRun(run.state, run.images_seen, time.monotonic() - started, workers)
            # Variables and graphs refer to each other: the next ones need their memory.
            gc.collect()


class _Run:
    """A run from its newest checkpoint on: its state, and how it goes through the stages."""

    def __init__(
        self,
        source: PyramidSource,
        spec: ImageSpec,
        settings: TrainerSettings,
        run_folder: str,
        report: Reporter,
        strategy: tf.distribute.Strategy,
        workers: Workers,
        stages: list[Stage],
        rate_factor: float,
    ) -> None:
        self._source, self._settings, self._folder = source, settings, run_folder
        self._report, self._strategy, self._workers = report, strategy, workers
        self._stages, self._rate_factor = stages, rate_factor
        with strategy.scope():
            self.state = create_state(settings, spec)
            self._checkpoint = RunCheckpoint(
                self.state,
                f"{run_folder}/checkpoints",
                settings,
                spec,
                report,
                writes=workers.is_chief,
            )
            self.images_seen = self._checkpoint.restore()
            workers.check_equal("checkpoints, in one run folder that all of them reach", self.images_seen)
            if settings.warm_start and not self.images_seen:
                load_weights(self.state, settings, spec, report)
        if self.images_seen:
            report.info(f"going on from the checkpoint at {self.images_seen:,} images")
        with self._writing():
            self._summaries = RunSummaries(
                run_folder,
                self.state,
                source,
                settings,
                stages,
                self.images_seen,
                writes=workers.is_chief,
            )
        self._clock = Clock(stages, settings, spec, self.images_seen)
        # The latest value of each term: not every step computes all of them.
        self._terms: dict[str, tf.Tensor] = {}

    def go(self, interruption: Interruption) -> None:
        """Trains to the end of the last stage.

        Raises:
            Diverged: a loss or a variable is not finite.
            KeyboardInterrupt: the run was asked to stop; its state is saved.
        """
        resolution = 0
        for stage in self._stages:
            if self.images_seen < stage.end:
                self._begin(stage, resolution)
                self._train_stage(stage, interruption)
            if self.images_seen == stage.end:
                # Also where a run goes on that was stopped before it had taken them.
                with interruption.at_once(), self._writing():
                    measures = self._summaries.measure(stage, self.images_seen)
                if measures:
                    self._report.info(measures)
            resolution = stage.resolution
        interruption.end(*self._workers.largest(interruption.number))

    def _begin(self, stage: Stage, resolution: int) -> None:
        """Sets the optimizers for a stage that follows one of `resolution`, also in the middle of it."""
        optimizer = self._settings.optimizer
        grows = self.images_seen == stage.start and stage.resolution != resolution
        rate = optimizer.learning_rates.get(stage.resolution, optimizer.learning_rate) * self._rate_factor
        with self._strategy.scope():
            if grows and optimizer.reset_at_growth:
                reset_optimizers(self.state)
            # A checkpoint has the rate that it was trained with; the settings may have another by now.
            for each in self.state.optimizers.values():
                each.learning_rate = rate
        phase = "fading in" if stage.fading else "stable"
        self._report.debug(
            f"{stage.resolution}x{stage.resolution} {phase}, {self.images_seen:,} to {stage.end:,} images: "
            f"batches of {stage.batch_size}, learning rate {rate:g}"
        )

    def _train_stage(self, stage: Stage, interruption: Interruption) -> None:
        step = make_step(self.state, self._settings, stage, self._strategy)
        began, traced = time.monotonic(), False
        batches = _batches(self._source, self._settings, stage, self.images_seen, self._strategy)
        for batch in self._source.reading(stage.resolution, batches):
            self._terms |= step(batch, self.images_seen)
            self.images_seen += stage.batch_size
            if not traced:
                self._report.debug(f"first step of the stage took {time.monotonic() - began:.1f} s")
                traced = True
            self._clock.step(stage, self.images_seen)
            done = self.images_seen >= stage.end
            if self._clock.tick_is_due():
                values = finite(self._terms, self.images_seen)
                self._report.info(self._clock.tick(values))
                with self._writing():
                    self._summaries.tick(stage, self.images_seen, values, self._clock.images_per_second)
            # Before the checkpoint: a run that is stopped between the two would go on without them.
            with self._writing():
                self._summaries.snapshot(stage, self.images_seen)
            # Clocks and signals are a process' own.
            signal_number, save = self._workers.largest(
                interruption.number, self._checkpoint.is_due(self.images_seen)
            )
            if done or signal_number or save:
                finite(self._terms, self.images_seen)
                check_state(self.state, self.images_seen)
                self._checkpoint.save(self.images_seen, stage.resolution)
            interruption.end(signal_number)
            if done:
                break

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing(f"the run folder {self._folder}", "its checkpoints are intact")


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
        settings=settings.data,
        label_count=settings.networks.label_count,
    )
    group = settings.networks.minibatch_stddev_group
    indices = replica_indices(stage.batch_size, strategy.num_replicas_in_sync, group)
    return distribute_batches(dataset, indices, strategy)


def _in_silence(line: str) -> None:
    pass
