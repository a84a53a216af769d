"""Knows when a tick is due, how fast training is and how much time is left."""

import time
from collections.abc import Mapping

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

    Attributes:
        images_per_second: Speed up to the last tick; 0 before any step was timed.
    """

    def __init__(
        self, stages: list[Stage], settings: TrainerSettings, spec: ImageSpec, images_seen: int
    ) -> None:
        networks = settings.networks.for_resolution(spec.resolution)
        self._costs = {
            stage.resolution: schedule.relative_cost(networks, stage.resolution) for stage in stages
        }
        self._stages, self._stage, self._settings = stages, stages[0], settings
        self._last_tick = time.monotonic()
        self._images_seen = self._last_images = images_seen
        self._ticks = self._ticks_up_to(images_seen)
        # The functions of a stage's step are compiled when they are first called; see `step.due`.
        losses = settings.losses
        self._compiling_steps = max(losses.critic_steps, min(losses.penalty_interval, 2))
        self._compiled_after = 0
        self._timed: Stage | None = None
        self.images_per_second = 0.0

    def step(self, stage: Stage, images_seen: int) -> None:
        """Notes that a step ended; the first ones of a stage are mostly compilation and not timed."""
        if self._timed != stage:
            self._timed = stage
            self._compiled_after = images_seen + (self._compiling_steps - 1) * stage.batch_size
        self._stage, self._images_seen = stage, images_seen
        if images_seen <= self._compiled_after:
            self._last_tick, self._last_images = time.monotonic(), images_seen

    def tick_is_due(self) -> bool:
        """Whether the run has come to another multiple of `images_per_tick` (0: never), or to its end."""
        if not self._settings.logging.images_per_tick:
            return False
        ended = self._images_seen >= self._stages[-1].end
        return ended or self._ticks_up_to(self._images_seen) > self._ticks

    def tick(self, terms: Mapping[str, float]) -> str:
        """Returns the status line of the images since the last tick.

        Args:
            terms: The latest values of what the step returns; the line names the three losses.
        """
        now = time.monotonic()
        timed_images = self._images_seen - self._last_images
        if timed_images:
            self.images_per_second = timed_images / max(now - self._last_tick, 1e-9)
        self._last_tick, self._last_images = now, self._images_seen
        self._ticks = self._ticks_up_to(self._images_seen)
        side, total = self._stage.resolution, self._stages[-1].end
        phase = f"fade-in {self._stage.alpha(self._images_seen):.2f}" if self._stage.fading else "stable"
        values = "  ".join(
            f"{name[0].upper()} {_number(terms[f'loss/{name}'])}"
            for name in ("discriminator", "generator", "encoder")
            if f"loss/{name}" in terms
        )
        return (
            f"{f'{side}x{side}':>9}  {phase:<12}  {self._images_seen:>9,} / {total:,} images  "
            f"{self.images_per_second:7.1f} images/s  {values}  {self._time_left()} left"
        )

    def _ticks_up_to(self, images_seen: int) -> int:
        return images_seen // max(self._settings.logging.images_per_tick, 1)

    def _time_left(self) -> str:
        """Scales the present speed by the later stages' work per image; "?" before there is a speed."""
        if not self.images_per_second:
            return "?"
        work = sum(
            max(stage.end - max(stage.start, self._images_seen), 0) * self._costs[stage.resolution]
            for stage in self._stages
        )
        return _duration(work / self._costs[self._stage.resolution] / self.images_per_second)


def _number(value: float) -> str:
    """Seven characters, eight for the largest negative ones: a line keeps its length when a loss grows."""
    return f"{value:7.3f}" if abs(value) < 1000 else f"{value:7.1e}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
