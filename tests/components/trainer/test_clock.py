"""The clock of a run, with a time that the test sets."""

import pytest

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import clock as clock_module
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.clock import Clock

LOSSES = {"discriminator": 1.5, "generator": -0.25, "encoder": 0.125}


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


def test_a_tick_is_due_at_every_multiple(begin):
    clock, stages = begin()
    due = []
    for images in range(8, 113, 8):
        clock.step(next(stage for stage in stages if images <= stage.end), images)
        if clock.tick_is_due():
            due.append(images)
            clock.tick(LOSSES)
    assert due == [16, 32, 48, 64, 80, 96, 112]


def test_speed_leaves_out_the_first_step_of_a_stage(begin, time):
    clock, stages = begin()
    time[0] += 60  # compilation
    clock.step(stages[0], 8)
    time[0] += 2
    clock.step(stages[0], 16)
    line = clock.tick(LOSSES)
    assert clock.images_per_second == 4.0
    found = " ".join(line.split())
    assert found.startswith("4x4 stable 16 / 112 images 4.0 images/s D 1.500 G -0.250 E 0.125 ")
    assert clock.seconds == 62.0


def test_the_time_left_weighs_the_later_stages_work(begin, time, monkeypatch):
    cost = {4: 1.0, 8: 5.0}
    monkeypatch.setattr(schedule, "relative_cost", lambda networks, resolution: cost[resolution])
    clock, stages = begin()
    clock.step(stages[0], 8)
    time[0] += 2
    clock.step(stages[0], 16)
    # 16 images at 4 images/s, and 80 of five times the work.
    assert clock.tick(LOSSES).endswith("  1m44s left")


@pytest.mark.parametrize("seconds, text", [(0, "0m00s"), (59.6, "1m00s"), (3599, "59m59s"), (7260, "2h01m")])
def test_durations(seconds, text):
    assert clock_module._duration(seconds) == text


def test_a_fading_stage_shows_its_alpha(begin, time):
    clock, stages = begin(images_seen=32)
    clock.step(stages[1], 40)
    time[0] += 1
    clock.step(stages[1], 56)
    assert "8x8  fade-in 0.50" in clock.tick(LOSSES)


def test_checkpoints_are_due_by_the_clock(begin, time):
    clock, _ = begin(checkpoints={"seconds": 30})
    due = []
    for _ in range(10):
        time[0] += 10
        due.append(clock.checkpoint_is_due())
    assert due == [False, False, True] * 3 + [False]
