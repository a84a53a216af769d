"""The schedule's properties: contiguous stages, whole batches, alpha from 0 to 1, true half-lives."""

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from proganomaly.components.errors import SettingsError
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ScheduleSettings, TrainerSettings

RESOLUTION = st.sampled_from([4, 8, 16, 64, 1024])
IMAGES = st.integers(0, 1000)


@given(
    initial=RESOLUTION,
    final=RESOLUTION,
    fading=IMAGES,
    stable=IMAGES,
    last=IMAGES,
    batch_size=st.integers(1, 70),
    batch_at_8=st.integers(1, 70),
)
@pytest.mark.option(
    "schedule.initial_resolution",
    "schedule.fading_images",
    "schedule.stable_images",
    "schedule.final_images",
    "schedule.batch_size",
    "schedule.batch_sizes",
)
def test_stages_are_contiguous_and_of_whole_batches(
    initial, final, fading, stable, last, batch_size, batch_at_8
):
    assume(initial <= final and (last > 0 or (fading > 0 and initial < final)))
    settings = ScheduleSettings(
        initial, fading, stable, last, batch_size=batch_size, batch_sizes={8: batch_at_8}
    )
    stages = schedule.stages(settings, final, 7)
    assert stages[0].start == 0
    assert all(one.end == two.start for one, two in itertools.pairwise(stages))
    for stage in stages:
        images = fading if stage.fading else last if stage.resolution == final else stable
        assert stage.batch_size == (batch_at_8 if stage.resolution == 8 else batch_size)
        assert (stage.end - stage.start) % stage.batch_size == 0
        assert 0 <= stage.end - stage.start - images < stage.batch_size
        assert not (stage.fading and stage.resolution == initial)
    assert (stages[-1].resolution, stages[-1].fading) == (final, last == 0)
    order = [(stage.resolution, not stage.fading) for stage in stages]
    assert order == sorted(set(order))


@pytest.mark.option("schedule.fading_images_at", "schedule.stable_images_at")
def test_a_resolution_may_have_images_of_its_own():
    settings = ScheduleSettings(
        4,
        100,
        200,
        400,
        fading_images_at={8: 10, 16: 0, 4: 7},
        stable_images_at={4: 20, 8: 0, 16: 30},
        batch_size=10,
    )
    found = [
        (stage.resolution, stage.fading, stage.end - stage.start)
        for stage in schedule.stages(settings, 16, 7)
    ]
    assert found == [(4, False, 20), (8, True, 10), (16, False, 30)]


def test_a_run_as_published():
    settings = ScheduleSettings(4, 600_000, 600_000, 600_000, batch_sizes={1024: 4})
    stages = schedule.stages(settings, 1024, 7)
    assert len(stages) == 17
    # 9 stable and 8 fading phases of 600,000 images.
    assert stages[-1].end == 17 * 600_000


def test_alpha_rises_from_0_to_1():
    stage = Stage(8, fading=True, start=100, end=180, batch_size=8)
    alphas = [stage.alpha(images) for images in range(100, 181)]
    assert (alphas[0], alphas[40], alphas[-1]) == (0.0, 0.5, 1.0)
    assert alphas == sorted(alphas)
    assert (stage.alpha(0), stage.alpha(1000)) == (0.0, 1.0)
    assert Stage(8, fading=False, start=100, end=180, batch_size=8).alpha(100) == 1.0


def test_growing_cannot_begin_above_its_end():
    with pytest.raises(SettingsError, match=r"^initial_resolution must be at most .* 16; received 32$"):
        schedule.stages(ScheduleSettings(initial_resolution=32), 16, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"initial_resolution": 16, "final_images": 0},
        {"fading_images": 0, "final_images": 0},
        {"fading_images_at": {16: 0}, "stable_images_at": {16: 0}},
        {"fading_images": 0, "stable_images": 0, "final_images": 0},
    ],
)
def test_a_final_resolution_without_any_image_is_refused(changes):
    with pytest.raises(SettingsError, match=r"^the final resolution 16 must see at least 1 .*; received 0$"):
        schedule.stages(ScheduleSettings(**changes), 16, 7)


@given(st.integers(1, 5000), st.sampled_from([1, 4, 16, 50]))
@pytest.mark.option("ema_half_life")
def test_a_weight_halves_within_a_half_life(half_life, batch_size):
    images_seen = 20 * half_life + 1  # behind the ramp
    kept = schedule.ema_decay(TrainerSettings(ema_half_life=half_life), batch_size, images_seen) ** (
        half_life / batch_size
    )
    assert kept == pytest.approx(0.5)


def test_the_half_life_is_ramped_up():
    settings = TrainerSettings(ema_half_life=2000)
    decays = [schedule.ema_decay(settings, 16, images) for images in (0, 160, 1600, 16_000, 40_000, 400_000)]
    assert decays[0] == 0.0
    assert decays == sorted(decays)
    assert decays[-1] == decays[-2] == 0.5 ** (16 / 2000)
    assert schedule.ema_decay(TrainerSettings(ema_half_life=0), 16, 1000) == 0.0


def test_work_grows_with_the_resolution():
    networks = NetworkSettings().for_resolution(64)
    costs = [schedule.relative_cost(networks, resolution) for resolution in (4, 8, 16, 32, 64)]
    assert costs == sorted(costs) and costs[0] > 0


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"initial_resolution": 12}, "initial_resolution must be one of 4, .*; received 12"),
        ({"batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"batch_sizes": {12: 4}}, "a resolution in batch_sizes must be one of .*; received 12"),
        ({"batch_sizes": {8: 0}}, r"batch_sizes\[8\] must be at least 1; received 0"),
        ({"fading_images": -1}, "fading_images must be at least 0; received -1"),
        ({"stable_images_at": {2: 5}}, "a resolution in stable_images_at must be one of .*; received 2"),
        ({"fading_images_at": {8: -5}}, r"fading_images_at\[8\] must be at least 0; received -5"),
    ],
)
def test_impossible_schedules_are_named(changes, message):
    with pytest.raises(SettingsError, match=message):
        ScheduleSettings(**changes)


@pytest.mark.option("ema_decay")
def test_a_decay_per_step_wins_over_the_half_life():
    settings = TrainerSettings(ema_decay=0.999)
    assert [schedule.ema_decay(settings, 16, images) for images in (0, 10**6)] == [0.999, 0.999]


@pytest.mark.option("schedule.unit")
def test_lengths_in_epochs_count_passes_over_the_images():
    settings = ScheduleSettings(4, 2, 3, 5, batch_size=10, unit="epochs")
    lengths = [stage.end - stage.start for stage in schedule.stages(settings, 8, 120)]
    assert lengths == [3 * 120, 2 * 120, 5 * 120]


@pytest.mark.option("schedule.initial_alpha")
def test_a_fade_in_begins_at_the_initial_alpha():
    stage = schedule.stages(ScheduleSettings(4, 80, 80, 80, initial_alpha=0.4), 8, 7)[1]
    assert [stage.alpha(images) for images in (80, 120, 160)] == pytest.approx([0.4, 0.7, 1.0])


@pytest.mark.option("schedule.alpha_smoothing")
def test_without_smoothing_new_layers_count_fully_for_as_many_images():
    smooth, abrupt = (
        schedule.stages(ScheduleSettings(4, 80, 80, 80, alpha_smoothing=smoothing), 8, 7)
        for smoothing in (True, False)
    )
    assert [stage.fading for stage in smooth] == [False, True, False]
    assert not any(stage.fading or stage.alpha(stage.start) < 1 for stage in abrupt)
    assert abrupt[-1].end == smooth[-1].end
