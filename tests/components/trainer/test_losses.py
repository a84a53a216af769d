"""The losses against critics whose gradient is known in closed form."""

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given

from proganomaly.components.errors import SettingsError
from proganomaly.components.trainer import losses
from proganomaly.components.trainer.settings import LossSettings


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WEIGHTS = _random(4, 4, 2, seed=5)


def _linear(scale: float = 1.0):
    """D(x) = scale * <w, x>: its gradient is scale * w everywhere."""
    return lambda images: tf.reduce_sum(images * WEIGHTS * scale, axis=[1, 2, 3])


@given(st.floats(0.01, 5), st.floats(0.1, 800))
def test_gradient_penalty_of_a_linear_critic(scale, target):
    penalty = losses.gradient_penalty(_linear(scale), tf.constant(_random(3, 4, 4, 2)), target)
    norm = scale * np.linalg.norm(WEIGHTS)
    np.testing.assert_allclose(penalty, (norm - target) ** 2 / target**2, rtol=1e-3, atol=1e-6)


def test_gradient_penalty_is_taken_image_by_image():
    """D(x) = |x|^2 / 2 has the gradient x: the norms differ, and the penalty is the mean of the squares."""
    images = _random(3, 4, 4, 2) * np.array([0.1, 1.0, 3.0], np.float32)[:, None, None, None]
    penalty = losses.gradient_penalty(
        lambda x: tf.reduce_sum(tf.square(x), axis=[1, 2, 3]) / 2, tf.constant(images), 1.0
    )
    norms = np.linalg.norm(images.reshape(3, -1), axis=1)
    np.testing.assert_allclose(penalty, np.mean((norms - 1) ** 2), rtol=1e-4)


def test_gradient_penalty_of_a_constant_critic_is_finite_and_so_is_its_gradient():
    slope = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(
            lambda x: slope * tf.reduce_sum(x, axis=[1, 2, 3]), tf.constant(_random(2, 4, 4, 1)), 1.0
        )
    np.testing.assert_allclose(penalty, 1.0, atol=1e-4)
    assert np.isfinite(tape.gradient(penalty, slope))


@pytest.mark.parametrize("penalty, drift", [(10.0, 0.001), (0.0, 0.0), (3.0, 0.5)])
def test_discriminator_loss_is_the_sum_of_its_terms(penalty, drift):
    reals, fakes, mixing = _random(5, 4, 4, 2), _random(5, 4, 4, 2, seed=1), _random(5, 1, 1, 1, seed=2)
    settings = LossSettings(gradient_penalty=penalty, drift=drift)
    found = losses.discriminator_loss(
        _linear(), tf.constant(reals), tf.constant(fakes), tf.constant(mixing), settings
    )
    real_scores, fake_scores = (np.sum(images * WEIGHTS, axis=(1, 2, 3)) for images in (reals, fakes))
    expected = fake_scores.mean() - real_scores.mean() + drift * np.mean(real_scores**2)
    expected += penalty * (np.linalg.norm(WEIGHTS) - 1) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_gradient_is_taken_between_real_and_fake():
    reals, fakes = tf.zeros([2, 4, 4, 2]), tf.ones([2, 4, 4, 2])
    seen = []

    def critic(images):
        seen.append(images.numpy())
        return tf.reduce_sum(images, axis=[1, 2, 3])

    mixing = tf.constant([0.25, 1.0])[:, None, None, None]
    losses.discriminator_loss(critic, reals, fakes, mixing, LossSettings())
    assert [(images[0].mean(), images[1].mean()) for images in seen] == [(0, 0), (1, 1), (0.25, 1)]


def test_generator_loss_rises_as_the_critic_is_less_convinced():
    np.testing.assert_allclose(losses.generator_loss(tf.constant([1.0, -3.0])), 1.0)


def test_encoder_loss_is_the_mean_absolute_error():
    images, others = _random(3, 4, 4, 2), _random(3, 4, 4, 2, seed=1)
    np.testing.assert_allclose(losses.encoder_loss(images, others), np.abs(images - others).mean(), rtol=1e-5)


@pytest.mark.parametrize("name, value", [("gradient_penalty", -1), ("gradient_target", 0), ("drift", -0.1)])
def test_impossible_weights_are_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must be .*; received {value}$"):
        LossSettings(**{name: value})
