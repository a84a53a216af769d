"""Settings of losses, optimizers, execution and reading, each by what it changes in a step or a run."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layers import EqualizedConv2D
from proganomaly.components.model.networks import Discriminator
from proganomaly.components.trainer import step as step_module
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import DataSettings, OptimizerSettings
from proganomaly.components.trainer.step import create_state, make_step

SPEC, STAGE = ImageSpec(4, 1), Stage(4, fading=False, start=0, end=64, batch_size=8)


@pytest.fixture(scope="module")
def statistics(tiny):
    """The statistics of a first step at 4x4 with changed settings."""

    def run(mode: str = "eager", execution: dict | None = None, **changes) -> dict[str, float]:
        settings = tiny.settings(execution={"mode": mode, **(execution or {})}, **changes)
        step = make_step(create_state(settings, SPEC), settings, STAGE, tf.distribute.get_strategy())
        batch = (tf.constant(tiny.make_images(8, 4)), tf.zeros([8], tf.int32))
        return {name: float(value) for name, value in step(batch, 0).items()}

    return run


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(20)))


@pytest.mark.option("losses.gradient_penalty", "losses.drift", "losses.r1")
@pytest.mark.parametrize("name, weight", [("gradient_penalty", 10.0), ("drift", 0.5), ("r1", 7.0)])
def test_a_penalty_weighs_what_the_settings_say_and_0_leaves_it_out(statistics, name, weight):
    none = {"gradient_penalty": 0.0, "drift": 0.0, "r1": 0.0}
    without, single = statistics(losses=none), statistics(losses={**none, name: weight})
    assert not {f"discriminator/{penalty}" for penalty in none} & set(without)
    added = single["loss/discriminator"] - without["loss/discriminator"]
    assert added == pytest.approx(weight * single[f"discriminator/{name}"], rel=1e-4)
    assert added > 1e-4


@pytest.mark.option("losses.gradient_target")
def test_the_penalty_is_a_parabola_of_the_target(statistics):
    """mean((n - t)^2) is mean(n^2) - 2 t mean(n) + t^2: all but the last term is a line in t."""
    line = {
        target: target**2
        * (statistics(losses={"gradient_target": target})["discriminator/gradient_penalty"] - 1)
        for target in (1.0, 2.0, 4.0)
    }
    assert line[2.0] - line[4.0] == pytest.approx(2 * (line[1.0] - line[2.0]), rel=1e-3)
    assert line[1.0] - line[2.0] > 0.01


@pytest.mark.option("losses.adversarial")
def test_the_logistic_loss_is_a_softplus_of_the_scores(statistics):
    none = {"gradient_penalty": 0.0, "drift": 0.0}
    wasserstein, logistic = (
        statistics(losses={**none, "adversarial": name}) for name in ("wasserstein", "logistic")
    )
    difference = wasserstein["discriminator/fake_score"] - wasserstein["discriminator/real_score"]
    assert wasserstein["loss/discriminator"] == pytest.approx(difference, rel=1e-4)
    # softplus(a) + softplus(-b) is at least log 4 where the critic knows nothing: a = b.
    assert logistic["loss/discriminator"] == pytest.approx(np.log(4) + difference / 2, rel=0.1)


@pytest.mark.option("optimizer.learning_rate", "optimizer.beta1", "optimizer.beta2", "optimizer.epsilon")
@pytest.mark.parametrize(
    "changes", [{}, {"learning_rate": 0.3}, {"beta1": 0.5}, {"beta2": 0.5}, {"epsilon": 0.7}], ids=str
)
def test_three_updates_are_those_of_adam_by_hand(tiny, changes):
    """Kingma and Ba 2015, algorithm 1 in the form at the end of section 2."""
    adam = OptimizerSettings(**changes)
    state = create_state(tiny.settings(optimizer=changes), SPEC)
    for name, optimizer in state.optimizers.items():
        variables, random = getattr(state.networks, name).trainable_variables, np.random.default_rng(0)
        expected = [np.array(variable, np.float64) for variable in variables]
        means, squares = ([np.zeros_like(value) for value in expected] for _ in range(2))
        for time in (1, 2, 3):
            gradients = [random.normal(size=value.shape) for value in expected]
            rate = adam.learning_rate * np.sqrt(1 - adam.beta2**time) / (1 - adam.beta1**time)
            for index, gradient in enumerate(gradients):
                means[index] += (1 - adam.beta1) * (gradient - means[index])
                squares[index] += (1 - adam.beta2) * (gradient**2 - squares[index])
                expected[index] -= rate * means[index] / (np.sqrt(squares[index]) + adam.epsilon)
            optimizer.apply(
                [tf.constant(gradient, tf.float32) for gradient in gradients], trainable_variables=variables
            )
        for variable, value in zip(variables, expected, strict=True):
            np.testing.assert_allclose(variable, value, atol=2e-5)


@pytest.mark.option("execution.mode")
def test_a_step_is_the_same_in_every_mode_and_traced_once_or_never(statistics, monkeypatch):
    made = []
    function = tf.function

    def recorded(python_function, **options):
        made.append(options["jit_compile"])
        # What XLA makes of a step is tested where its every phase is compiled.
        return python_function if options["jit_compile"] else function(python_function)

    monkeypatch.setattr(step_module.tf, "function", recorded)
    eager = statistics("eager")
    assert made == []
    assert statistics("graph") == pytest.approx(eager, rel=1e-4, abs=1e-5)
    assert made == [None]
    statistics("xla")
    assert made[1:] == [True]


@pytest.mark.option("data.shuffle_buffer")
def test_a_buffer_of_one_record_leaves_the_order_of_the_file(source):
    def order(shuffle_buffer: int) -> list[int]:
        batches = training_batches(source, 8, 4, 0, 1, DataSettings(shuffle_buffer=shuffle_buffer))
        taken = itertools.islice(batches.as_numpy_iterator(), 5)
        return [number for images, _ in taken for number in images[:, 0, 0, 0]]

    assert order(1) == list(range(20))
    few, many = order(4), order(20)
    # With a buffer of four, image number n comes three places early at most.
    assert all(number <= place + 3 for place, number in enumerate(few)) and few != sorted(few)
    assert any(number > place + 3 for place, number in enumerate(many))


@pytest.mark.option("losses.concatenated")
@pytest.mark.parametrize("concatenated, batches", [(False, [8, 8]), (True, [16])])
def test_reals_and_fakes_go_through_the_critic_apart_or_at_once(
    statistics, monkeypatch, concatenated, batches
):
    """That both give the same is shown in the tests of the updates."""
    seen, judge = [], Discriminator.scores_and_logits

    def recorded(discriminator, images, *arguments):
        seen.append(images.shape[0])
        return judge(discriminator, images, *arguments)

    monkeypatch.setattr(Discriminator, "scores_and_logits", recorded)
    # The generator's own update is left out: its fakes go through the critic once more.
    losses = {"gradient_penalty": 0.0, "critic_steps": 2, "concatenated": concatenated}
    statistics(losses=losses)
    assert seen == batches


@pytest.mark.option("execution.precision", "execution.data_format")
@pytest.mark.parametrize(
    "execution, dtype, shape",
    [
        ({}, "float32", (8, 4, 4, 8)),
        ({"precision": "bfloat16"}, "bfloat16", (8, 4, 4, 8)),
        ({"precision": "float16"}, "float16", (8, 4, 4, 8)),
        ({"data_format": "channels_first"}, "float32", (8, 8, 4, 4)),
    ],
    ids=str,
)
def test_convolutions_compute_in_the_precision_and_format_asked_for(
    statistics, monkeypatch, execution, dtype, shape
):
    """That all give the same, up to rounding, is shown in the tests of the updates."""
    seen, convolve = set(), EqualizedConv2D.call

    def recorded(layer, x):
        result = convolve(layer, x)
        if layer.filters == 8:
            seen.add((x.dtype.name, result.dtype.name, tuple(result.shape)))
        return result

    monkeypatch.setattr(EqualizedConv2D, "call", recorded)
    statistics(execution=execution)
    assert seen == {(dtype, dtype, shape)}
