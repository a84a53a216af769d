"""Tracing costs seconds: it happens once for each kind of step of a stage."""

import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.step import create_state, make_step
from proganomaly.components.trainer.updates import Updates

STAGE = Stage(8, fading=True, start=0, end=64, batch_size=4)


@pytest.mark.parametrize(
    ("losses", "kinds"),
    [({}, 1), ({"penalty_interval": 3}, 2), ({"penalty_interval": 2, "critic_steps": 2}, 2)],
)
def test_steps_of_a_stage_are_traced_once_for_each_kind(tiny, monkeypatch, losses, kinds):
    traced, run = [], Updates.run

    def counted(self, *arguments):
        traced.append(arguments)
        return run(self, *arguments)

    monkeypatch.setattr(Updates, "run", counted)
    settings = tiny.settings(losses=losses)
    step = make_step(create_state(settings, ImageSpec(8, 1)), settings, STAGE, tf.distribute.get_strategy())
    images = tiny.make_images(32)
    for first in range(0, 32, 4):
        step((tf.constant(images[first : first + 4]), tf.zeros([4], tf.int32)), first)
    assert len(traced) == kinds
