"""One training step: D, G and E are updated once each, then the moving averages.

All randomness of a step is a pure function of the run's seed and the images seen, and is drawn for the global
batch before each replica takes its part: a restarted run and a run on another number of devices see the same
latents. What the three updates compute stands in `updates`.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks, build_networks
from proganomaly.components.trainer import schedule
from proganomaly.components.trainer.distribution import replica_indices
from proganomaly.components.trainer.optimizer import FusedAdam
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.updates import Updates

Batch = tuple[tf.Tensor, tf.Tensor]
StepFunction = Callable[[Batch, int], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """What a run consists of, beside the number of images seen.

    Attributes:
        networks: The networks that the gradients change.
        averages: Their moving averages, which the exported model is made of.
        optimizers: Adam for "generator", "discriminator" and "encoder"; with float16 inside a
            `LossScaleOptimizer`.
    """

    networks: Networks
    averages: Networks
    optimizers: dict[str, keras.optimizers.Optimizer]


def create_state(settings: TrainerSettings, spec: ImageSpec) -> TrainingState:
    """Creates networks, averages and optimizers; call it inside the strategy's scope."""
    keras.utils.set_random_seed(settings.seed)
    execution = settings.execution
    networks = build_networks(settings.networks, spec, execution.data_format, execution.jit_chains)
    averages = build_networks(settings.networks, spec, execution.data_format)
    averages.assign(networks)
    optimizers = {}
    for name in ("generator", "discriminator", "encoder"):
        adam = settings.optimizer
        optimizer = FusedAdam(adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon)
        if execution.precision == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(getattr(networks, name).trainable_variables)
        optimizers[name] = optimizer
    return TrainingState(networks, averages, optimizers)


def reset_optimizers(state: TrainingState) -> None:
    """Forgets Adam's moments and step count, as the original does at each change of resolution."""
    for optimizer in state.optimizers.values():
        adam = getattr(optimizer, "inner_optimizer", optimizer)
        for variable in adam.variables:
            if variable is not adam._learning_rate:
                variable.assign(tf.zeros_like(variable))


@dataclasses.dataclass(frozen=True)
class Due:
    """What a step does beside the discriminator's update.

    Attributes:
        penalties: Whether the discriminator's gradient penalties are evaluated.
        generator: Whether generator and encoder are updated.
    """

    penalties: bool
    generator: bool


def due(settings: TrainerSettings, stage: Stage, images_seen: int) -> Due:
    """Returns what the step after `images_seen` images does, a pure function of that number."""
    number = (images_seen - stage.start) // stage.batch_size
    losses = settings.losses
    generator = losses.adversarial != "none" and (number + 1) % losses.critic_steps == 0
    return Due(number % losses.penalty_interval == 0, generator)


def make_step(
    state: TrainingState, settings: TrainerSettings, stage: Stage, strategy: tf.distribute.Strategy
) -> StepFunction:
    """Returns the step of a stage, compiled as the settings say.

    Returns:
        `step(batch, images_seen) -> losses and statistics by name`, scalars. `batch` is the strategy's batch
        of images (uint8 [N, R, R, C]) and labels (int32 [N]). A statistic is there only in steps that compute
        it.
    """
    indices = replica_indices(
        stage.batch_size, strategy.num_replicas_in_sync, settings.networks.minibatch_stddev_group
    )
    replica_batch = indices.shape[1]
    updates = Updates(state.networks, state.optimizers, settings, stage, strategy.num_replicas_in_sync)

    def replica_step(
        batch: Batch, images_seen: tf.Tensor, alpha: tf.Tensor, now: Due
    ) -> dict[str, tf.Tensor]:
        images, labels = batch
        images = tf.ensure_shape(images, [replica_batch, None, None, None])
        labels = tf.ensure_shape(labels, [replica_batch])
        draw = ReplicaRandom(settings.seed, images_seen, indices)
        fade = alpha if stage.fading else None
        return updates.run(images, labels, draw, fade, now.penalties, now.generator)

    @functools.cache
    def compiled(now: Due) -> Callable[..., dict[str, tf.Tensor]]:
        def run(
            batch: Batch, images_seen: tf.Tensor, alpha: tf.Tensor, decay: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            per_replica = strategy.run(replica_step, args=(batch, images_seen, alpha, now))
            _update_averages(state, decay)
            return {
                name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in per_replica.items()
            }

        if settings.execution.mode == "eager":
            return run
        # Several replicas exchange gradients, which XLA cannot on CPUs: there `Updates` compiles its passes.
        jit = settings.execution.mode == "xla" and strategy.num_replicas_in_sync == 1
        return tf.function(run, jit_compile=jit or None, autograph=False)

    def step(batch: Batch, images_seen: int) -> dict[str, tf.Tensor]:
        # Tensors, since a Python number would trace the function anew for each value.
        return compiled(due(settings, stage, images_seen))(
            batch,
            tf.constant(images_seen, tf.int64),
            tf.constant(stage.alpha(images_seen), tf.float32),
            tf.constant(schedule.ema_decay(settings, stage.batch_size, images_seen), tf.float32),
        )

    return step


class ReplicaRandom:
    """Draws one replica's part of a step's random numbers.

    Args:
        seed: The run's seed.
        images_seen: Where the run is.
        indices: Which numbers of the global batch each replica takes; see `replica_indices`.
    """

    def __init__(self, seed: int, images_seen: tf.Tensor, indices: np.ndarray) -> None:
        self._seed, self._images_seen, self._batch_size = seed, images_seen, indices.size
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        self._own = tf.gather(indices, replica) if len(indices) > 1 else None

    def normal(self, stream: int, shape: list[int]) -> tf.Tensor:
        """Returns standard normal numbers, float32 [replica's batch, *shape]."""
        return self._own_part(
            tf.random.stateless_normal([self._batch_size, *shape], self._key(stream), alg="philox")
        )

    def uniform(self, stream: int, shape: list[int]) -> tf.Tensor:
        """Returns numbers in [0, 1), float32 [replica's batch, *shape]."""
        return self._own_part(
            tf.random.stateless_uniform([self._batch_size, *shape], self._key(stream), alg="philox")
        )

    def _key(self, stream: int) -> tf.Tensor:
        # 16 streams for each number of images seen.
        return tf.stack([tf.constant(self._seed, tf.int64), self._images_seen * 16 + stream])

    def _own_part(self, values: tf.Tensor) -> tf.Tensor:
        return values if self._own is None else tf.gather(values, self._own)


def _update_averages(state: TrainingState, decay: tf.Tensor) -> None:
    for new, old in zip(state.networks.variables(), state.averages.variables(), strict=True):
        value, average = new.value, old.value
        average.assign(value + (average - value) * decay)
