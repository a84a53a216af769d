"""FusedAdam against Adam's formula written in NumPy and against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.trainer.optimizer import FusedAdam


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("compiled", [False, True])
def test_some_steps_follow_the_formula(beta1, compiled):
    random = np.random.default_rng(1)
    start, gradients = random.normal(size=[3, 2]), random.normal(size=[4, 3, 2])
    expected, m, v = start.copy(), 0.0, 0.0
    for number, gradient in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = 0.99 * v + (1 - 0.99) * gradient**2
        corrected = m / (1 - beta1**number), v / (1 - 0.99**number)
        # Keras and TensorFlow put epsilon beside the uncorrected root ("epsilon hat" of the paper).
        epsilon = 1e-3 / np.sqrt(1 - 0.99**number)
        expected -= 0.01 * corrected[0] / (np.sqrt(corrected[1]) + epsilon)
    found = [_updated(make, start, gradients, beta1, compiled) for make in (FusedAdam, keras.optimizers.Adam)]
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-5)
    for fused, plain in zip(*found, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)


def _updated(make, start, gradients, beta1, compiled):
    """Returns the variable and the optimizer's own after a step with each gradient."""
    variable = keras.Variable(start.astype(np.float32))
    optimizer = make(0.01, beta1, 0.99, 1e-3)
    optimizer.build([variable])

    def apply(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    apply = tf.function(apply) if compiled else apply
    for gradient in gradients:
        apply(tf.constant(gradient, tf.float32))
    return [np.array(value) for value in (variable, *optimizer.variables)]
