"""One training step: D, G and E are updated once each, then the moving averages.

All randomness of a step is a pure function of the run's seed and the images seen, and is drawn for the global
batch before each replica takes its part: a restarted run and a run on another number of devices see the same
latents.
"""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.layers import downscale2d, lerp, upscale2d
from proganomaly.components.model.networks import Networks, build_networks, to_network_range
from proganomaly.components.trainer import losses
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings

StepFunction = Callable[..., dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """What a run consists of, beside the number of images seen.

    Attributes:
        networks: The networks that the gradients change.
        averages: Their moving averages, which the exported model is made of.
        optimizers: Adam for "generator", "discriminator" and "encoder".
    """

    networks: Networks
    averages: Networks
    optimizers: dict[str, keras.optimizers.Adam]


def create_state(settings: TrainerSettings, spec: ImageSpec) -> TrainingState:
    """Creates networks, averages and optimizers; call it inside the strategy's scope."""
    keras.utils.set_random_seed(settings.seed)
    networks = build_networks(settings.networks, spec)
    averages = build_networks(settings.networks, spec)
    averages.assign(networks)
    optimizers = {}
    for name in ("generator", "discriminator", "encoder"):
        optimizers[name] = keras.optimizers.Adam(
            settings.optimizer.learning_rate,
            settings.optimizer.beta1,
            settings.optimizer.beta2,
            settings.optimizer.epsilon,
        )
        optimizers[name].build(getattr(networks, name).trainable_variables)
    return TrainingState(networks, averages, optimizers)


def reset_optimizers(state: TrainingState) -> None:
    """Forgets Adam's moments and step count, as the original does at each change of resolution."""
    for optimizer in state.optimizers.values():
        for variable in optimizer.variables:
            if variable is not optimizer._learning_rate:
                variable.assign(tf.zeros_like(variable))


def make_step(
    state: TrainingState, settings: TrainerSettings, stage: Stage, strategy: tf.distribute.Strategy
) -> StepFunction:
    """Returns the compiled step of a stage.

    Returns:
        `step(batch, images_seen, alpha, ema_decay) -> losses by name`, where `batch` is the strategy's batch
        of uint8 images, and the others are scalar tensors (int64, float32, float32).
    """
    replica_batch = stage.batch_size // strategy.num_replicas_in_sync

    def replica_step(reals: tf.Tensor, images_seen: tf.Tensor, alpha: tf.Tensor) -> dict[str, tf.Tensor]:
        draw = _ReplicaRandom(settings.seed, images_seen, stage.batch_size, replica_batch)
        fade = alpha if stage.fading else None
        reals = faded(to_network_range(tf.ensure_shape(reals, [replica_batch, None, None, None])), fade)
        scale = 1.0 / strategy.num_replicas_in_sync
        discriminator = _update_discriminator(state, settings, stage, reals, draw, fade, scale)
        generator, encoder = _update_generator_and_encoder(state, settings, stage, draw, fade, scale)
        return {"discriminator": discriminator, "generator": generator, "encoder": encoder}

    @tf.function
    def step(
        batch: tf.Tensor, images_seen: tf.Tensor, alpha: tf.Tensor, ema_decay: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        per_replica = strategy.run(replica_step, args=(batch, images_seen, alpha))
        _update_averages(state, ema_decay)
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.MEAN, loss, axis=None)
            for name, loss in per_replica.items()
        }

    return step


def faded(images: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
    """Cross-fades real images with their halved selves, as the generator's output is (section 2)."""
    if alpha is None:
        return images
    return lerp(upscale2d(downscale2d(images)), images, alpha)


class _ReplicaRandom:
    """Draws one replica's part of a step's random numbers."""

    def __init__(self, seed: int, images_seen: tf.Tensor, batch_size: int, replica_batch: int) -> None:
        self._seed, self._images_seen = seed, images_seen
        self._batch_size, self._replica_batch = batch_size, replica_batch
        context = tf.distribute.get_replica_context()
        self._first = tf.cast(context.replica_id_in_sync_group, tf.int32) * replica_batch

    def normal(self, stream: int, shape: list[int]) -> tf.Tensor:
        return self._own_part(tf.random.stateless_normal([self._batch_size, *shape], self._key(stream)))

    def uniform(self, stream: int, shape: list[int]) -> tf.Tensor:
        return self._own_part(tf.random.stateless_uniform([self._batch_size, *shape], self._key(stream)))

    def _key(self, stream: int) -> tf.Tensor:
        # 16 streams for each number of images seen.
        return tf.stack([tf.constant(self._seed, tf.int64), self._images_seen * 16 + stream])

    def _own_part(self, values: tf.Tensor) -> tf.Tensor:
        part = values[self._first : self._first + self._replica_batch]
        return tf.ensure_shape(part, [self._replica_batch, *values.shape[1:]])


def _latents(state: TrainingState, draw: _ReplicaRandom, stream: int) -> tf.Tensor:
    latent_size = state.networks.generator.latent_size
    return draw.normal(stream, [latent_size])


def _update_discriminator(
    state: TrainingState,
    settings: TrainerSettings,
    stage: Stage,
    reals: tf.Tensor,
    draw: _ReplicaRandom,
    fade: tf.Tensor | None,
    scale: float,
) -> tf.Tensor:
    networks = state.networks
    latents = _latents(state, draw, stream=0)
    fakes = networks.generator(latents, resolution=stage.resolution, alpha=fade)
    mixing = draw.uniform(2, [1, 1, 1])
    with tf.GradientTape() as tape:
        loss = losses.discriminator_loss(
            lambda images: networks.discriminator(images, alpha=fade), reals, fakes, mixing, settings.losses
        )
        scaled = loss * scale
    _apply(state, "discriminator", tape, scaled)
    return loss


def _update_generator_and_encoder(
    state: TrainingState,
    settings: TrainerSettings,
    stage: Stage,
    draw: _ReplicaRandom,
    fade: tf.Tensor | None,
    scale: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    networks = state.networks
    latents = _latents(state, draw, stream=1)
    with tf.GradientTape() as generator_tape:
        fakes = networks.generator(latents, resolution=stage.resolution, alpha=fade)
        generator_loss = losses.generator_loss(networks.discriminator(fakes, alpha=fade))
        scaled_generator_loss = generator_loss * scale
    # The encoder learns on the same fakes, through the generator that made them: one pass saved.
    fakes = tf.stop_gradient(fakes)
    with tf.GradientTape() as encoder_tape:
        codes = networks.encoder(fakes, alpha=fade)
        reconstructions = networks.generator(codes, resolution=stage.resolution, alpha=fade)
        encoder_loss = losses.encoder_loss(fakes, reconstructions)
        scaled_encoder_loss = encoder_loss * scale
    _apply(state, "encoder", encoder_tape, scaled_encoder_loss)
    _apply(state, "generator", generator_tape, scaled_generator_loss)
    return generator_loss, encoder_loss


def _apply(state: TrainingState, name: str, tape: tf.GradientTape, loss: tf.Tensor) -> None:
    """Updates one network; layers of other resolutions have no gradient and stay untouched."""
    variables = getattr(state.networks, name).trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    pairs = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
    state.optimizers[name].apply_gradients(pairs)


def _update_averages(state: TrainingState, decay: tf.Tensor) -> None:
    for value, average in zip(state.networks.variables(), state.averages.variables(), strict=True):
        average.assign(value + (average - value) * decay)
