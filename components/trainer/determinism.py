"""Deterministic mode: equal runs end in equal bits."""

import tensorflow as tf

from proganomaly.components.errors import UserError


def make_deterministic() -> None:
    """Chooses deterministic operations and one thread each, for the rest of the process.

    With several threads the order of a sum depends on who comes first, and so do its last bits. The initial
    weights, the latents and the order of the data follow the run's seed in any case.

    Raises:
        UserError: TensorFlow has begun to work with several threads; it cannot be told any more.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise UserError(
            "execution.deterministic must be chosen before TensorFlow begins to work; in this process it has "
            "begun with more than 1 thread"
        ) from error
    tf.config.experimental.enable_op_determinism()
