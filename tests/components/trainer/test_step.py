"""One training step against what is known without the code: Adam's first step, EMA, what is left alone."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.step import create_state, make_step, reset_optimizers
from proganomaly.components.trainer.updates import faded

SPEC = ImageSpec(16, 1)
STAGE = Stage(8, fading=True, start=32, end=96, batch_size=4)
NAMES = ("generator", "discriminator", "encoder")


@pytest.fixture(scope="module")
def step(tiny):
    """(state before, state after, losses) of one step at 8x8 with alpha 0.5 and a decay of 0.25."""
    settings = tiny.settings(ema_decay=0.25)
    begun, state = create_state(settings, SPEC), create_state(settings, SPEC)
    run_step = make_step(state, settings, STAGE, tf.distribute.get_strategy())
    batch = tiny.make_images(4)
    losses = run_step((tf.constant(batch), tf.zeros([4], tf.int32)), 64)
    return begun, state, losses


@pytest.mark.option("seed")
def test_networks_begin_equal_to_their_averages_and_as_the_seed_says(tiny):
    one, two, other = (create_state(tiny.settings(seed=seed), SPEC) for seed in (1, 1, 2))
    for mine, average, same in zip(
        one.networks.variables(), one.averages.variables(), two.networks.variables(), strict=True
    ):
        np.testing.assert_array_equal(mine, average)
        np.testing.assert_array_equal(mine, same)
        assert mine is not average
    kernels = [state.networks.generator.dense.kernel.numpy() for state in (one, other)]
    assert not np.array_equal(*kernels)


@pytest.mark.option("optimizer.learning_rate")
@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_moves_every_weight_of_the_resolution_by_the_learning_rate(step, name):
    """Adam without momentum divides a first gradient by its own size: what is left is its sign."""
    begun, state, _ = step
    pairs = zip(
        getattr(begun.networks, name).trainable_variables,
        getattr(state.networks, name).trainable_variables,
        strict=True,
    )
    block, seen = "4x4", set()
    for before, after in pairs:
        moved = np.abs(np.array(after) - np.array(before))
        # Kernels are named by their resolution; the bias behind each is not.
        if before.path[0].isdigit():
            block = before.path.split("_")[0]
        seen.add(block)
        if block == "16x16":
            assert not moved.any(), before.path
        else:
            assert np.mean(moved > 0) > 0.5, before.path
            np.testing.assert_allclose(np.median(moved[moved > 0]), 0.001, rtol=1e-3, err_msg=before.path)
            # Gradients near Adam's epsilon move less, none moves more.
            assert moved.max() < 0.001001, before.path
    assert seen == {"4x4", "8x8", "16x16"}


@pytest.mark.option("ema_decay")
def test_averages_follow_by_the_decay(step):
    begun, state, _ = step
    for before, now, average in zip(
        begun.networks.variables(), state.networks.variables(), state.averages.variables(), strict=True
    ):
        expected = 0.25 * np.array(before) + 0.75 * np.array(now)
        np.testing.assert_allclose(average, expected, atol=1e-6)


def test_losses_are_finite_and_named(step):
    losses = step[2]
    assert {f"{kind}/{name}" for kind in ("loss", "gradient_norm") for name in NAMES} < set(losses)
    assert all(np.isfinite(loss) and loss.shape == () for loss in losses.values())
    assert losses["loss/encoder"] > 0


def test_resetting_forgets_moments_and_steps_but_not_the_rate(step):
    state = step[1]
    assert all(int(optimizer.iterations) == 1 for optimizer in state.optimizers.values())
    assert any(np.array(variable).any() for variable in state.optimizers["encoder"].variables[2:])
    reset_optimizers(state)
    for optimizer in state.optimizers.values():
        assert int(optimizer.iterations) == 0
        np.testing.assert_allclose(float(optimizer.learning_rate), 0.001)
        others = [variable for variable in optimizer.variables if variable.path != "adam/learning_rate"]
        assert len(others) == len(optimizer.variables) - 1
        assert not any(np.array(variable).any() for variable in others)


def test_reals_are_faded_like_fakes():
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    halved = images.reshape(2, 4, 2, 4, 2, 1).mean(axis=(2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(faded(tf.constant(images), 0.25), 0.75 * halved + 0.25 * images, atol=1e-6)
    assert faded(images, None) is images
