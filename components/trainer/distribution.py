"""The `tf.distribute` strategy that a run trains in."""

import tensorflow as tf

from proganomaly.components.errors import SettingsError
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ExecutionSettings


def create_strategy(settings: ExecutionSettings) -> tf.distribute.Strategy:
    """Returns the strategy that the settings name."""
    name = settings.strategy
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(
            "/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0"
        )
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices("GPU")]
            or [device.name for device in tf.config.list_logical_devices("CPU")]
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def check_batch_sizes(stages: list[Stage], strategy: tf.distribute.Strategy) -> None:
    """Raises SettingsError unless the replicas can share every batch evenly."""
    replicas = strategy.num_replicas_in_sync
    for stage in stages:
        if stage.batch_size % replicas:
            raise SettingsError(
                f"the batch size at {stage.resolution} pixels must be a multiple of the {replicas} replicas; "
                f"received {stage.batch_size}"
            )
