"""The losses against critics whose gradient is known in closed form."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.special
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


def test_wasserstein_losses_are_differences_of_means():
    real, fake = tf.constant([1.0, 4.0]), tf.constant([1.0, -3.0])
    np.testing.assert_allclose(losses.discriminator_loss(real, fake, "wasserstein"), -1.0 - 2.5)
    np.testing.assert_allclose(losses.generator_loss(fake, "wasserstein"), 1.0)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=5))
def test_logistic_losses_are_cross_entropies(scores):
    """Softplus(-s) is -log sigmoid(s): what a discriminator that answers real with sigmoid(s) pays."""
    scores = np.array(scores)
    real_is_seen, fake_is_seen = -scipy.special.log_expit(scores), -scipy.special.log_expit(-scores)
    tensor = tf.constant(scores, tf.float32)
    np.testing.assert_allclose(
        losses.discriminator_loss(tensor, tensor, "logistic"),
        real_is_seen.mean() + fake_is_seen.mean(),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        losses.generator_loss(tensor, "logistic"), real_is_seen.mean(), rtol=1e-5, atol=1e-6
    )


def test_drift_is_the_mean_square():
    np.testing.assert_allclose(losses.drift(tf.constant([1.0, -3.0])), 5.0)


@given(st.floats(0.01, 5))
def test_r1_of_a_linear_critic(scale):
    penalty = losses.r1_penalty(_linear(scale), tf.constant(_random(3, 4, 4, 2)))
    np.testing.assert_allclose(penalty, (scale * np.linalg.norm(WEIGHTS)) ** 2 / 2, rtol=1e-4)


def test_label_loss_of_no_idea_is_the_logarithm_of_the_classes():
    np.testing.assert_allclose(losses.label_loss(tf.constant([0, 3]), tf.zeros([2, 5])), np.log(5), rtol=1e-6)
    sure = tf.one_hot([0, 3], 5) * 100
    np.testing.assert_allclose(losses.label_loss(tf.constant([0, 3]), sure), 0, atol=1e-6)
    np.testing.assert_allclose(losses.label_loss(tf.constant([0, 2]), sure), 50, rtol=1e-5)


def test_encoder_terms_are_mean_errors():
    images, others = _random(3, 4, 4, 2), _random(3, 4, 4, 2, seed=1)
    np.testing.assert_allclose(losses.image_cycle(images, others), np.abs(images - others).mean(), rtol=1e-5)
    for term in (losses.latent_cycle, losses.real_residual):
        np.testing.assert_allclose(term(images, others), np.square(images - others).mean(), rtol=1e-5)


@pytest.mark.parametrize("name, value", [("gradient_penalty", -1), ("gradient_target", 0), ("drift", -0.1)])
def test_impossible_weights_are_named(name, value):
    with pytest.raises(SettingsError, match=rf"^{name} must be .*; received {value}$"):
        LossSettings(**{name: value})
