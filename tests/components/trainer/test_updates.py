"""The updates against gradients taken plainly, one formula at a time, and against each other."""

import dataclasses

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layers import pixel_norm
from proganomaly.components.model.networks import to_network_range
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.step import ReplicaRandom, create_state, due, make_step
from proganomaly.components.trainer.updates import faded

SPEC = ImageSpec(8, 1)
STAGE = Stage(8, fading=True, start=32, end=96, batch_size=8)
IMAGES_SEEN, ALPHA = 64, tf.constant(0.5)
NAMES = ("generator", "discriminator", "encoder")


@pytest.fixture(scope="module")
def step(tiny):
    """Runs one eager step with changed settings: (networks before, state after, statistics)."""

    def run(images_seen=IMAGES_SEEN, labels=None, **changes):
        settings = tiny.settings(ema_half_life=0, **changes)
        settings = dataclasses.replace(
            settings, execution=dataclasses.replace(settings.execution, mode="eager")
        )
        begun, state = create_state(settings, SPEC), create_state(settings, SPEC)
        run_step = make_step(state, settings, STAGE, tf.distribute.get_strategy())
        labels = tf.zeros([8], tf.int32) if labels is None else tf.constant(labels)
        statistics = run_step((tf.constant(tiny.make_images(8)), labels), images_seen)
        return begun.networks, state, {name: float(value) for name, value in statistics.items()}

    return run


def _moved(before, after) -> bool:
    return any(
        not np.array_equal(one, two) for one, two in zip(before.variables, after.variables, strict=True)
    )


def _latents(stream: int, size: int = 8) -> tf.Tensor:
    draw = ReplicaRandom(1, tf.constant(IMAGES_SEEN, tf.int64), np.arange(8)[None])
    return draw.normal(stream, [size])


def _norm(tape: tf.GradientTape, loss: tf.Tensor, network) -> float:
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    return float(tf.linalg.global_norm([gradient for gradient in gradients if gradient is not None]))


@pytest.mark.option("losses.shared_fakes", "losses.adversarial")
@pytest.mark.parametrize("adversarial", ["wasserstein", "logistic"])
def test_shared_fakes_give_the_generator_the_gradient_of_its_loss_on_the_critics_fakes(step, adversarial):
    networks, _, found = step(losses={"shared_fakes": True, "adversarial": adversarial})
    with tf.GradientTape() as tape:
        fakes = networks.generator(_latents(0), resolution=8, alpha=ALPHA)
        scores = networks.discriminator(fakes, alpha=ALPHA)
        loss = -tf.reduce_mean(scores if adversarial == "wasserstein" else tf.math.log_sigmoid(scores))
    np.testing.assert_allclose(found["loss/generator"], loss, rtol=1e-4)
    np.testing.assert_allclose(
        found["gradient_norm/generator"], _norm(tape, loss, networks.generator), rtol=1e-4
    )


def test_separate_fakes_are_judged_by_the_updated_critic(step):
    networks, state, found = step()
    before = networks.generator(_latents(1), resolution=8, alpha=ALPHA)
    judged = state.networks.discriminator(before, alpha=ALPHA)
    np.testing.assert_allclose(found["loss/generator"], -np.mean(judged), rtol=1e-4)
    assert abs(np.mean(judged) - np.mean(networks.discriminator(before, alpha=ALPHA))) > 1e-4


@pytest.mark.option("losses.concatenated")
@pytest.mark.parametrize("shared", [True, False])
def test_one_pass_for_reals_and_fakes_gives_the_same_weights_as_two(step, shared):
    _, two_passes, found = step(losses={"shared_fakes": shared})
    _, one_pass, same = step(losses={"shared_fakes": shared, "concatenated": True})
    assert same == pytest.approx(found, rel=1e-3, abs=1e-5)
    for one, two in zip(two_passes.networks.variables(), one_pass.networks.variables(), strict=True):
        # Adam's first step is a sign: where a gradient is nearly zero, rounding decides it.
        assert np.mean(np.abs(np.array(one) - np.array(two)) > 1e-4) < 0.02


@pytest.mark.option("losses.penalty_interval")
def test_penalties_are_lazy_and_weigh_as_much_more(step):
    _, _, every = step(losses={"gradient_penalty": 10.0, "drift": 0.0})
    _, _, lazy = step(losses={"gradient_penalty": 10.0, "drift": 0.0, "penalty_interval": 4})
    penalty = every["discriminator/gradient_penalty"]
    assert lazy["discriminator/gradient_penalty"] == pytest.approx(penalty)
    assert lazy["loss/discriminator"] - every["loss/discriminator"] == pytest.approx(30 * penalty, rel=1e-4)
    _, _, between = step(IMAGES_SEEN + 8, losses={"penalty_interval": 4})
    assert "discriminator/gradient_penalty" not in between


def test_what_is_due_follows_from_the_images_seen(tiny):
    settings = tiny.settings(losses={"penalty_interval": 3, "critic_steps": 2})
    steps = [due(settings, STAGE, images) for images in range(STAGE.start, STAGE.end, STAGE.batch_size)]
    assert [step.penalties for step in steps] == [True, False, False, True, False, False, True, False]
    assert [step.generator for step in steps] == [False, True] * 4


@pytest.mark.option("losses.critic_steps")
def test_a_critics_own_step_leaves_the_others_alone(step):
    networks, state, found = step(losses={"critic_steps": 3})
    assert _moved(networks.discriminator, state.networks.discriminator)
    assert not _moved(networks.generator, state.networks.generator)
    assert not _moved(networks.encoder, state.networks.encoder)
    assert "loss/generator" not in found and "loss/encoder" not in found


@pytest.mark.option("losses.r1")
def test_r1_is_half_the_squared_gradient_at_the_reals(step, tiny):
    networks, _, found = step(losses={"r1": 10.0, "gradient_penalty": 0.0, "adversarial": "logistic"})
    images = tiny.make_images(8).astype(np.float32) / 127.5 - 1
    halved = images.reshape(8, 4, 2, 4, 2, 1).mean(axis=(2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    reals = tf.constant(0.5 * images + 0.5 * halved)
    with tf.GradientTape() as tape:
        tape.watch(reals)
        scores = networks.discriminator(reals, alpha=ALPHA)
    gradient = tape.gradient(scores, reals).numpy()
    expected = np.mean(np.sum(gradient**2, axis=(1, 2, 3))) / 2
    np.testing.assert_allclose(found["discriminator/r1"], expected, rtol=1e-4)
    assert "discriminator/gradient_penalty" not in found


@pytest.mark.option(
    "losses.encoder.latent_cycle",
    "losses.encoder.image_cycle",
    "losses.encoder.real_pixels",
    "losses.encoder.real_features",
)
@pytest.mark.parametrize("term", ["latent_cycle", "image_cycle", "real_pixels", "real_features"])
def test_an_encoder_term_is_what_it_says_and_only_moves_the_encoder(step, tiny, term):
    weights = dict.fromkeys(("latent_cycle", "image_cycle", "real_pixels", "real_features"), 0.0)
    networks, state, found = step(losses={"encoder": {**weights, term: 2.0}})
    judge = state.networks.discriminator.trunk
    generate, encode = networks.generator, networks.encoder
    images = tiny.make_images(8).astype(np.float32) / 127.5 - 1
    halved = images.reshape(8, 4, 2, 4, 2, 1).mean(axis=(2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    reals, latents = tf.constant(0.5 * images + 0.5 * halved), _latents(1)
    with tf.GradientTape() as tape:
        fakes = generate(latents, resolution=8, alpha=ALPHA)
        again = generate(encode(fakes, alpha=ALPHA), resolution=8, alpha=ALPHA)
        reconstructed = generate(encode(reals, alpha=ALPHA), resolution=8, alpha=ALPHA)
        value = {
            "latent_cycle": lambda: tf.reduce_mean((latents - encode(fakes, alpha=ALPHA)) ** 2),
            "image_cycle": lambda: tf.reduce_mean(tf.abs(fakes - again)),
            "real_pixels": lambda: tf.reduce_mean((reals - reconstructed) ** 2),
            "real_features": lambda: tf.reduce_mean(
                (judge(reals, alpha=ALPHA) - judge(reconstructed, alpha=ALPHA)) ** 2
            ),
        }[term]()
        loss = 2.0 * value
    assert found[f"encoder/{term}"] == pytest.approx(float(value), rel=1e-3)
    assert found["loss/encoder"] == pytest.approx(float(loss), rel=1e-3)
    assert found["gradient_norm/encoder"] == pytest.approx(_norm(tape, loss, encode), rel=1e-3)
    assert {name for name in found if name.startswith("encoder/")} == {f"encoder/{term}"}


@pytest.mark.option("networks.label_count")
def test_a_conditional_gan_learns_its_labels(step, tiny):
    labels = [0, 1, 2, 0, 1, 2, 0, 1]
    networks, state, found = step(labels=labels, networks=_with(tiny, label_count=3))
    assert networks.generator.code_size == networks.encoder(tf.zeros([1, 8, 8, 1])).shape[1] == 8 + 3
    # Two cross-entropies of a network that knows nothing yet.
    assert found["discriminator/label"] == pytest.approx(2 * np.log(3), rel=0.5)
    images = tf.constant(tiny.make_images(8).astype(np.float32) / 127.5 - 1)
    before, after = (
        tf.nn.softmax(one.discriminator.scores_and_logits(images)[1]).numpy()[range(8), labels].mean()
        for one in (networks, state.networks)
    )
    assert after > before
    codes = [tf.concat([tf.ones([1, 8]), tf.one_hot([label], 3)], axis=1) for label in (0, 1)]
    assert np.abs(networks.generator(codes[0]) - networks.generator(codes[1])).max() > 0.01


@pytest.mark.option("losses.label")
def test_label_terms_weigh_what_the_settings_say(step, tiny):
    networks = _with(tiny, label_count=2)
    (_, _, one), (_, _, three) = (
        step(labels=[0, 1] * 4, networks=networks, losses={"label": weight}) for weight in (1.0, 3.0)
    )
    label = one["discriminator/label"]
    assert three["loss/discriminator"] - one["loss/discriminator"] == pytest.approx(2 * label, rel=1e-4)


@pytest.mark.option("losses.transform")
def test_the_transformation_head_learns_from_transformed_reals(step, tiny):
    kinds = {"transforms": ("flip", "rotation")}
    begun, state, found = step(networks=kinds, losses={"transform": 0.5, "gradient_penalty": 0})
    _, _, without = step(networks=kinds, losses={"transform": 0, "gradient_penalty": 0})
    draw = ReplicaRandom(1, tf.constant(IMAGES_SEEN, tf.int64), np.arange(8)[None])
    choices = (draw.uniform(3, [2]).numpy() * [2, 4]).astype(int)
    images = faded(to_network_range(tiny.make_images(8)), ALPHA).numpy()
    turned = [
        np.rot90(image[::-1] if flip else image, turns)
        for image, (flip, turns) in zip(images, choices, strict=True)
    ]
    logits = begun.discriminator.transform_logits(tf.constant(np.stack(turned)), ALPHA).numpy()
    log_p = [scipy.special.log_softmax(part, axis=1) for part in (logits[:, :2], logits[:, 2:])]
    expected = -np.mean(log_p[0][range(8), choices[:, 0]] + log_p[1][range(8), choices[:, 1]])
    np.testing.assert_allclose(found["discriminator/transform"], expected, rtol=1e-4)
    np.testing.assert_allclose(
        found["loss/discriminator"] - without["loss/discriminator"], 0.5 * expected, rtol=1e-3
    )
    assert "discriminator/transform" not in without
    assert _moved(begun.discriminator.transform_dense, state.networks.discriminator.transform_dense)


def test_without_an_adversary_only_the_head_and_its_trunk_learn(step):
    begun, state, found = step(networks={"transforms": ("flip",)}, losses={"adversarial": "none"})
    assert found["loss/discriminator"] == found["discriminator/transform"] > 0
    assert _moved(begun.discriminator.trunk, state.networks.discriminator.trunk)
    for name in ("generator", "encoder"):
        assert not _moved(getattr(begun, name), getattr(state.networks, name))


@pytest.mark.option("losses.suspects")
def test_suspects_count_neither_for_the_head_nor_for_the_critic(step, tiny):
    changes = {"networks": {"transforms": ("flip",)}, "losses": {"gradient_penalty": 0, "drift": 0}}
    begun, _, everything = step(**changes)
    _, _, found = step(**{**changes, "losses": {**changes["losses"], "suspects": 0.25}})
    draw = ReplicaRandom(1, tf.constant(IMAGES_SEEN, tf.int64), np.arange(8)[None])
    flips = draw.uniform(3, [1]).numpy()[:, 0] >= 0.5
    reals = faded(to_network_range(tiny.make_images(8)), ALPHA)
    images = np.stack(
        [image[::-1] if flip else image for image, flip in zip(reals.numpy(), flips, strict=True)]
    )
    log_p = scipy.special.log_softmax(
        begun.discriminator.transform_logits(tf.constant(images), ALPHA), axis=1
    )
    losses = -log_p[range(8), flips.astype(int)]
    kept = np.argsort(losses)[:6]
    np.testing.assert_allclose(found["discriminator/transform"], losses[kept].mean(), rtol=1e-4)
    scores = begun.discriminator(reals, ALPHA).numpy()
    change = found["loss/discriminator"] - everything["loss/discriminator"]
    expected = losses[kept].mean() - losses.mean() - scores[kept].mean() + scores.mean()
    np.testing.assert_allclose(change, expected, rtol=1e-2, atol=1e-5)


@pytest.mark.option("execution.data_format", "execution.precision")
@pytest.mark.parametrize(
    "execution, tolerance",
    [
        ({"data_format": "channels_first"}, 1e-3),
        ({"precision": "bfloat16"}, 0.1),
        ({"precision": "float16"}, 0.02),
    ],
)
def test_formats_and_precisions_take_the_same_step(step, execution, tolerance):
    _, _, expected = step()
    _, state, found = step(execution=execution)
    if execution == {"precision": "float16"}:
        # The first loss scale is too high for the penalty's gradient: no update, and half the scale.
        assert np.isnan(found.pop("gradient_norm/discriminator"))
        assert float(state.optimizers["discriminator"].dynamic_scale) == 2**14
        expected.pop("gradient_norm/discriminator")
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance / 2)
    assert all(variable.dtype == "float32" for variable in state.networks.variables())


def test_float16_scales_its_loss_so_that_small_gradients_survive(tiny):
    """Below 6e-8 a float16 is zero: the scale, 2^15 at first, lifts gradients over that."""
    settings = tiny.settings(execution={"precision": "float16"})
    optimizer = create_state(settings, SPEC).optimizers["generator"]
    assert float(optimizer.scale_loss(tf.constant(1e-9))) == pytest.approx(1e-9 * 2**15)


@pytest.mark.option("networks.normalize_latents")
def test_without_normalized_latents_their_length_matters(tiny):
    states = [
        create_state(tiny.settings(networks=_with(tiny, normalize_latents=normalize)), SPEC)
        for normalize in (True, False)
    ]
    normed, free = (state.networks.generator for state in states)
    for generator in (normed, free):
        # Without offsets, which begin at zero, pixel norm behind the first layer would undo the length.
        generator.dense_bias.bias.assign(tf.linspace(-1.0, 1.0, 8))
    latents = _latents(0)
    np.testing.assert_allclose(normed(latents), normed(3.0 * latents), atol=1e-4)
    assert np.abs(free(latents) - free(3.0 * latents)).max() > 1e-3
    np.testing.assert_allclose(free(pixel_norm(latents)), normed(latents), atol=1e-5)


def _with(tiny, **changes):
    return dataclasses.replace(tiny.networks, **changes)
