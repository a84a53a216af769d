"""Compiled activations are the same function as the others, through both orders of gradients."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.step import create_state, make_step

STAGE = Stage(8, fading=True, start=0, end=64, batch_size=4)


@pytest.mark.option("execution.jit_chains")
def test_jitted_chains_give_the_same_losses_penalty_and_gradients(tiny):
    """The gradient penalty and D's gradient norm stand for the gradients of gradients."""
    batch = (tf.constant(tiny.make_images(4)), tf.zeros([4], tf.int32))
    found = []
    for jit_chains in (False, True):
        settings = tiny.settings(execution={"jit_chains": jit_chains})
        state = create_state(settings, ImageSpec(8, 1))
        found.append(make_step(state, settings, STAGE, tf.distribute.get_strategy())(batch, 32))
        layers = state.networks.discriminator.trunk
        assert hasattr(layers._activate, "get_concrete_function") == jit_chains
    assert found[0].keys() == found[1].keys()
    for name, plain in found[0].items():
        np.testing.assert_allclose(found[1][name], plain, rtol=1e-4, atol=1e-5, err_msg=name)
