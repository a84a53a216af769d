"""The trainer's settings: what is impossible is named, what is possible survives JSON."""

import pytest

from proganomaly.components.errors import SettingsError
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.settings import from_json, to_json
from proganomaly.components.trainer.loss_settings import EncoderLossSettings
from proganomaly.components.trainer.settings import (
    CheckpointSettings,
    DataSettings,
    ExecutionSettings,
    LoggingSettings,
    LossSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainerSettings,
)


@pytest.mark.parametrize(
    "group, name, value",
    [
        (NetworkSettings, "epsilon", 0),
        (NetworkSettings, "label_count", -1),
        (ScheduleSettings, "unit", "minutes"),
        (ScheduleSettings, "initial_alpha", 1.5),
        (OptimizerSettings, "learning_rate", 0),
        (OptimizerSettings, "beta1", 1.0),
        (LossSettings, "adversarial", "hinge"),
        (LossSettings, "penalty_interval", 0),
        (LossSettings, "critic_steps", 0),
        (LossSettings, "r1", -1),
        (EncoderLossSettings, "real_pixels", -0.5),
        (DataSettings, "prefetch_batches", 0),
        (ExecutionSettings, "strategy", "many"),
        (ExecutionSettings, "mode", "fast"),
        (ExecutionSettings, "precision", "int8"),
        (CheckpointSettings, "keep", 0),
        (CheckpointSettings, "rollback_factor", 0),
        (CheckpointSettings, "rollback_factor", 2),
        (LoggingSettings, "images_per_tick", -1),
        (LoggingSettings, "verbosity", "LOUD"),
        (TrainerSettings, "ema_half_life", -1),
        (TrainerSettings, "ema_decay", 1.0),
        (TrainerSettings, "seed", -1),
    ],
)
def test_impossible_settings_are_named(group, name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must be .*; received {value!r}$"):
        group(**{name: value})


@pytest.mark.parametrize(
    "group, changes, message",
    [
        (
            NetworkSettings,
            {"feature_maps_at": {8: 0}},
            r"^feature_maps_at\[8\] must be .*; received 0$",
        ),
        (OptimizerSettings, {"learning_rates": {9: 0.1}}, r"^a resolution in learning_rates .*; received 9$"),
        (OptimizerSettings, {"learning_rates": {8: 0}}, r"^learning_rates\[8\] must be above 0; received 0$"),
        (EncoderLossSettings, {"image_cycle": 0}, r"^one of the encoder's terms must be above 0; received 0"),
        (CheckpointSettings, {"prefix": "a/b"}, r"^checkpoints.prefix must be letters.*; received 'a/b'$"),
        (LoggingSettings, {"metrics": ("fid",)}, r"^metrics must be one of .*; received 'fid'$"),
    ],
)
def test_impossible_groups_are_named(group, changes, message):
    with pytest.raises(SettingsError, match=message):
        group(**changes)


def test_settings_survive_json():
    settings = TrainerSettings(
        networks=NetworkSettings(fmap_max=8, feature_maps_at={8: 4}),
        schedule=ScheduleSettings(batch_sizes={8: 4, 16: 2}),
        losses=LossSettings(encoder=EncoderLossSettings(real_pixels=0.5)),
        seed=7,
    )
    assert from_json(TrainerSettings, to_json(settings)) == settings
