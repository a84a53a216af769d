"""Knows when a tick or a checkpoint is due, how fast training is and how much time is left."""

import time

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings


class Clock:
    """Follows a run step by step.

    Args:
        stages: All stages of the run.
        settings: The run's settings.
        spec: Resolution of the networks.
        images_seen: Where the run begins or goes on.
    """

    def __init__(
        self, stages: list[Stage], settings: TrainerSettings, spec: ImageSpec, images_seen: int
    ) -> None:
        networks = settings.networks.for_resolution(spec.resolution)
        self._costs = {
            stage.resolution: schedule.relative_cost(networks, stage.resolution) for stage in stages
        }
        self._stages, self._stage, self._settings = stages, stages[0], settings
        self._started = self._last_tick = self._last_checkpoint = time.monotonic()
        self._images_seen = self._last_images = images_seen
        self._ticks = images_seen // settings.logging.images_per_tick
        self._compiled: Stage | None = None
        self.images_per_second = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since training began in this process."""
        return time.monotonic() - self._started

    def step(self, stage: Stage, images_seen: int) -> None:
        """Notes that a step ended; the first of a stage is mostly compilation and not timed."""
        self._stage, self._images_seen = stage, images_seen
        if self._compiled != stage:
            self._compiled = stage
            self._last_tick, self._last_images = time.monotonic(), images_seen

    def tick_is_due(self) -> bool:
        """Whether the run has come to another multiple of `images_per_tick`, or to its end."""
        due = self._images_seen // self._settings.logging.images_per_tick > self._ticks
        ended = self._images_seen >= self._stages[-1].end
        return ended or (due and self._images_seen > self._last_images)

    def checkpoint_is_due(self) -> bool:
        """Whether `checkpoint_seconds` have gone by since this last was true."""
        if time.monotonic() - self._last_checkpoint < self._settings.checkpoints.seconds:
            return False
        self._last_checkpoint = time.monotonic()
        return True

    def tick(self, losses: dict[str, float]) -> str:
        """Returns the status line of the images since the last tick."""
        now = time.monotonic()
        self.images_per_second = (self._images_seen - self._last_images) / max(now - self._last_tick, 1e-9)
        self._last_tick, self._last_images = now, self._images_seen
        self._ticks = self._images_seen // self._settings.logging.images_per_tick
        side, total = self._stage.resolution, self._stages[-1].end
        phase = f"fade-in {self._stage.alpha(self._images_seen):.2f}" if self._stage.fading else "stable"
        values = "  ".join(f"{name[0].upper()} {value:7.3f}" for name, value in losses.items())
        return (
            f"{f'{side}x{side}':>9}  {phase:<12}  {self._images_seen:>9,} / {total:,} images  "
            f"{self.images_per_second:7.1f} images/s  {values}  {_duration(self._seconds_left())} left"
        )

    def _seconds_left(self) -> float:
        """Scales the present speed by the later stages' work per image."""
        work = sum(
            max(stage.end - max(stage.start, self._images_seen), 0) * self._costs[stage.resolution]
            for stage in self._stages
        )
        return work / self._costs[self._stage.resolution] / max(self.images_per_second, 1e-9)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
