"""Checkpoints of a run: everything that going on exactly needs."""

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.trainer.step import TrainingState


class RunCheckpoint:
    """Saves and restores a run's state in a folder; the newest two are kept.

    The random state and the position in the data are pure functions of the images seen, so that number and
    the variables are all there is. TensorFlow writes a checkpoint's files first and names it in the file
    `checkpoint` last: a run killed while saving finds the one before.
    """

    def __init__(self, state: TrainingState, folder: str) -> None:
        self._images_seen = tf.Variable(0, dtype=tf.int64, trainable=False, name="images_seen")
        # Lists of variables rather than the models: Keras hides layers that stand in a dictionary from
        # TensorFlow's checkpoints, and they would be left out without a word.
        parts = {
            "networks": state.networks.variables(),
            "averages": state.averages.variables(),
            **{f"{name}_optimizer": optimizer.variables for name, optimizer in state.optimizers.items()},
        }
        checkpoint = tf.train.Checkpoint(
            images_seen=self._images_seen,
            **{name: [variable.value for variable in variables] for name, variables in parts.items()},
        )
        self._checkpoint = checkpoint
        self._index = f"{folder}/checkpoint"
        try:
            self._manager = tf.train.CheckpointManager(checkpoint, folder, max_to_keep=2)
        except ValueError as error:
            raise self._damaged_index() from error

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one, and returns the images seen.

        Raises:
            UserError: the checkpoint is damaged or of other networks.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            # TensorFlow only warns of a file that it cannot read; the run would begin anew.
            if tf.io.gfile.exists(self._index):
                raise self._damaged_index()
            return 0
        try:
            self._checkpoint.restore(path).assert_existing_objects_matched()
        except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"the checkpoint {path} cannot be restored: {reason}") from error
        return int(self._images_seen.numpy())

    def save(self, images_seen: int) -> None:
        """Writes a checkpoint."""
        self._images_seen.assign(images_seen)
        self._manager.save(checkpoint_number=images_seen)

    def _damaged_index(self) -> UserError:
        return UserError(
            f"{self._index} does not name a checkpoint; restore it, or delete its folder to begin anew"
        )
