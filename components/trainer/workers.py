"""What the processes of a run must agree upon, so that all of them take the same steps."""

import contextlib
import zlib
from collections.abc import Iterator

import tensorflow as tf

from proganomaly.components.errors import UserError

# What TensorFlow raises when a worker that it waits for has gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Workers:
    """The processes of a run: one, or with "multi_worker" as many as TF_CONFIG names.

    All of them train. Only the chief writes: checkpoints, summaries, status lines, the exported model. Every
    variable is mirrored, so that the chief holds the whole state and saves it without the others' help.

    What one process alone may know, such as a signal, they agree upon: all call the methods below in the same
    order at the same step, and get the same answer.

    Attributes:
        count: Number of the processes.
        is_chief: Whether this one is their chief.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.is_chief: bool = strategy.extended.should_checkpoint
        self.count = 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.count = sum(map(len, strategy.cluster_resolver.cluster_spec().as_dict().values()))

        @tf.function
        def gather(numbers: tf.Tensor) -> tf.Tensor:
            return strategy.gather(strategy.run(tf.identity, args=(numbers[None],)), axis=0)

        self._gather = gather

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """Returns for each number the largest that a worker has."""
        if self.count == 1:
            return numbers
        return tuple(map(int, self._gather(tf.constant(numbers, tf.int64)).numpy().max(axis=0)))

    def wait(self) -> None:
        """Waits until all workers have come here.

        Raises:
            UserError: one of them has gone.
        """
        with self.telling_of_losses():
            self.largest(0)

    def check_equal(self, what: str, value: object) -> None:
        """Raises UserError on all workers if they differ: they would train apart, or wait for each other."""
        code = zlib.crc32(repr(value).encode())
        if self.largest(code, -code) != (code, -code):
            raise UserError(f"the {self.count} workers must have the same {what}; they differ")

    @contextlib.contextmanager
    def telling_of_losses(self) -> Iterator[None]:
        """Turns TensorFlow's errors about a worker that has gone into a UserError."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            raise UserError(
                f"one of the {self.count} workers has gone, and no step is possible without it; start all of "
                "them again, and the run goes on from its last checkpoint"
            ) from error
