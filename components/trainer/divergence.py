"""What happens when a loss or a weight is not finite: back to the last good state, with a lower rate."""

import json
import math

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic, writing
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.settings import CheckpointSettings
from proganomaly.components.trainer.step import TrainingState


class Diverged(Exception):
    """Training is no longer finite; the message says what was seen, and when."""


def finite(values: dict[str, tf.Tensor], images_seen: int) -> dict[str, float]:
    """Returns the scalars as numbers.

    Raises:
        Diverged: a loss is not finite. A gradient's norm may be infinite: float16 leaves out such a step.
    """
    numbers = {name: float(value) for name, value in values.items()}
    for name, number in numbers.items():
        if name.startswith("loss/") and not math.isfinite(number):
            raise Diverged(f"{name} is {number} after {images_seen:,} images")
    return numbers


def check_state(state: TrainingState, images_seen: int) -> None:
    """Looks at every variable: a step's losses are those before its update.

    Raises:
        Diverged: one of them is not finite.
    """
    optimizers = [variable for optimizer in state.optimizers.values() for variable in optimizer.variables]
    variables = [*state.networks.variables(), *state.averages.variables(), *optimizers]
    floats = [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]
    # One answer from the device rather than one for each variable.
    finite_ones = tf.stack([tf.reduce_all(tf.math.is_finite(variable.value)) for variable in floats]).numpy()
    for variable, is_finite in zip(floats, finite_ones, strict=True):
        if not is_finite:
            raise Diverged(f"{variable.path} is not finite after {images_seen:,} images")


class Rollbacks:
    """Counts how often a run went back, beside its checkpoints so that a restarted run goes on counting.

    Args:
        folder: Folder of the run's checkpoints.
        settings: How often it may go back, and what that does to the learning rate.
        writes: Whether this process writes; see `RunCheckpoint`.

    Attributes:
        rate_factor: What the learning rate is multiplied by, in (0, 1].
    """

    def __init__(self, folder: str, settings: CheckpointSettings, writes: bool = True) -> None:
        self._folder, self._settings, self._writes = folder, settings, writes and settings.save
        self._path = f"{folder}/rollbacks.json"
        self._count, self.rate_factor = 0, 1.0
        if tf.io.gfile.exists(self._path):
            try:
                with tf.io.gfile.GFile(self._path, "rb") as file:
                    stored = json.loads(file.read())
                self._count, self.rate_factor = int(stored["rollbacks"]), float(stored["rate_factor"])
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self._path} cannot be read; restore it, or delete its folder") from error

    def roll_back(self, symptom: Diverged, report: Reporter) -> None:
        """Notes that the run goes back to its last checkpoint.

        Raises:
            UserError: it has done so as often as it may.
        """
        limit, kept = self._settings.rollbacks, ""
        if self._settings.save:
            kept = f"; what was saved before is kept in {self._folder}"
        if self._count >= limit:
            raise UserError(
                f"training diverged: {symptom}, with {self._count} of {limit} rollbacks done; "
                f"lower optimizer.learning_rate{kept}"
            ) from symptom
        self._count += 1
        self.rate_factor *= self._settings.rollback_factor
        if self._writes:
            text = json.dumps({"rollbacks": self._count, "rate_factor": self.rate_factor})
            with writing(f"the run folder {self._folder}", "its checkpoints are intact"):
                write_atomic(self._path, text + "\n")
        report.warning(
            f"training diverged: {symptom}; rollback {self._count} of {limit}, "
            f"learning rate times {self.rate_factor:g}"
        )
