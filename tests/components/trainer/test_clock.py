"""The clock of a run, with a time that the test sets."""

import pytest

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import clock as clock_module
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.clock import Clock
from proganomaly.components.trainer.settings import ScheduleSettings

TERMS = {
    "discriminator/drift": 9.0,
    "loss/discriminator": 1.5,
    "loss/encoder": 0.125,
    "loss/generator": -0.25,
    "gradient_norm/encoder": 9.0,
}


@pytest.fixture
def time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def begin(tiny, time):
    """Starts a clock at a number of images: (clock, stages)."""

    def start(images_seen=0, **changes):
        settings = tiny.settings(**changes)
        stages = schedule.stages(settings.schedule, 8, 20)
        return Clock(stages, settings, ImageSpec(8, 1), images_seen), stages

    return start


@pytest.mark.option("logging.images_per_tick")
def test_a_tick_is_due_at_every_multiple(begin):
    clock, stages = begin()
    due = []
    for images in range(8, 113, 8):
        clock.step(next(stage for stage in stages if images <= stage.end), images)
        if clock.tick_is_due():
            due.append(images)
            clock.tick(TERMS)
    assert due == [16, 32, 48, 64, 80, 96, 112]


def test_speed_leaves_out_the_first_step_of_a_stage(begin, time):
    clock, stages = begin()
    time[0] += 60  # compilation
    clock.step(stages[0], 8)
    time[0] += 2
    clock.step(stages[0], 16)
    line = clock.tick(TERMS)
    assert clock.images_per_second == 4.0
    found = " ".join(line.split())
    assert found.startswith("4x4 stable 16 / 112 images 4.0 images/s D 1.500 G -0.250 E 0.125 ")


@pytest.mark.parametrize("losses, compiling", [({"penalty_interval": 4}, 2), ({"critic_steps": 3}, 3)])
def test_speed_leaves_out_every_step_that_compiles(begin, time, losses, compiling):
    clock, stages = begin(losses=losses)
    for number in range(1, 5):
        time[0] += 60 if number <= compiling else 2
        clock.step(stages[0], 8 * number)
    clock.tick(TERMS)
    assert clock.images_per_second == 4.0


def test_a_tick_comes_in_time_though_nothing_was_timed_yet(begin):
    """So that a run that goes on has its ticks where the one without a stop has them."""
    clock, stages = begin(images_seen=40)
    clock.step(stages[1], 48)
    assert clock.tick_is_due()
    assert clock.tick(TERMS).endswith("  ? left")
    assert clock.images_per_second == 0


def test_the_time_left_weighs_the_later_stages_work(begin, time, monkeypatch):
    cost = {4: 1.0, 8: 5.0}
    monkeypatch.setattr(schedule, "relative_cost", lambda networks, resolution: cost[resolution])
    clock, stages = begin()
    clock.step(stages[0], 8)
    time[0] += 2
    clock.step(stages[0], 16)
    # 16 images at 4 images/s, and 80 of five times the work.
    assert clock.tick(TERMS).endswith("  1m44s left")


def test_no_ticks_on_request(begin):
    clock, stages = begin(logging={"images_per_tick": 0})
    for stage in stages:
        clock.step(stage, stage.end)
        assert not clock.tick_is_due()


def test_a_line_fits_120_columns_whatever_the_losses(tiny, time):
    stages = schedule.stages(ScheduleSettings(fading_images=800_000, final_images=1_400_000), 1024, 1)
    clock = Clock(stages, tiny.settings(), ImageSpec(1024, 3), 0)
    clock.step(stages[-2], stages[-2].start + 16)
    time[0] += 10_000
    clock.step(stages[-2], stages[-2].end - 400_000)
    line = clock.tick({f"loss/{name}": -123456.7 for name in ("discriminator", "generator", "encoder")})
    assert line.startswith("1024x1024  fade-in 0.50  6,080,000 / 7,880,000 images     40.0 images/s  ")
    assert line.endswith("  D -1.2e+05  G -1.2e+05  E -1.2e+05  12h30m left")
    assert len(line) <= 120


@pytest.mark.parametrize("seconds, text", [(0, "0m00s"), (59.6, "1m00s"), (3599, "59m59s"), (7260, "2h01m")])
def test_durations(seconds, text):
    assert clock_module._duration(seconds) == text


def test_a_fading_stage_shows_its_alpha(begin, time):
    clock, stages = begin(images_seen=32)
    clock.step(stages[1], 40)
    time[0] += 1
    clock.step(stages[1], 56)
    assert "8x8  fade-in 0.50" in clock.tick(TERMS)
