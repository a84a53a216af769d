"""The `tf.distribute` strategy that a run trains in, and which images each of its replicas works on.

Every strategy goes through the same loop and the same step. A step takes one global batch, whose images and
random numbers are pure functions of the seed and the images seen; `replica_indices` shares them out. So the
number of replicas changes where an image is worked on, and not what is computed.
"""

import functools
import json
import os
import socket
from typing import Any

import numpy as np
import tensorflow as tf

from proganomaly.components.errors import SettingsError, UserError
from proganomaly.components.model.layers import stddev_group
from proganomaly.components.trainer.determinism import make_deterministic
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ExecutionSettings

_TPU_CONNECT_SECONDS = 10


def create_strategy(settings: ExecutionSettings) -> tf.distribute.Strategy:
    """Returns the strategy that the settings name, in the mode that they ask for.

    Deterministic mode and "multi_worker" have to be chosen before TensorFlow does anything else in a process.
    The latter waits until all workers are there; it and "tpu" are made once, and returned by later calls.

    Raises:
        UserError: TF_CONFIG describes no job with this worker in it, or no TPU answers.
    """
    if settings.deterministic:
        make_deterministic()
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
    if name == "multi_worker":
        return _multi_worker_strategy()
    return _tpu_strategy(settings.tpu_address, settings.tpu_zone, settings.tpu_project)


def check_batch_sizes(stages: list[Stage], strategy: tf.distribute.Strategy) -> None:
    """Raises SettingsError unless the replicas can share every batch evenly."""
    replicas = strategy.num_replicas_in_sync
    for stage in stages:
        if stage.batch_size % replicas:
            raise SettingsError(
                f"the batch size at {stage.resolution} pixels must be a multiple of the {replicas} replicas; "
                f"received {stage.batch_size}"
            )


def replica_indices(batch_size: int, replicas: int, group_size: int) -> np.ndarray:
    """Returns which images of the global batch each replica works on.

    The groups of `layers.minibatch_stddev` are strided over a batch. Every replica gets whole groups of the
    global batch, in an order in which they are the groups of its own batch too. Where a replica's share is no
    multiple of the group size, its groups are smaller than those of one device and its statistics differ.

    Args:
        batch_size: Images of the global batch, a multiple of `replicas`.
        replicas: Replicas over all workers.
        group_size: Images of a group, as the settings have it.

    Returns:
        int64 [replicas, batch_size / replicas].
    """
    group = stddev_group(batch_size // replicas, group_size)
    places = np.arange(batch_size).reshape(group, replicas, -1)
    return places.swapaxes(0, 1).reshape(replicas, -1)


def distribute_batches(
    batches: tf.data.Dataset, indices: np.ndarray, strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """Gives each replica its images of every global batch.

    TensorFlow's own `experimental_distribute_dataset` would not: unless it shards the files, which makes the
    order depend on the number of workers, it gives the same first part of a batch to all of them.

    Args:
        batches: Global batches, tuples of tensors [N, ...]; the same on all workers.
        indices: See `replica_indices`.
        strategy: The run's strategy.
    """

    def own_parts(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if len(indices) == 1:
            return batches
        own = np.split(indices, context.num_input_pipelines)[context.input_pipeline_id]
        parts = batches.map(lambda *batch: tuple(tf.gather(values, own) for values in batch))
        return parts.unbatch().prefetch(2 * len(own))

    return strategy.distribute_datasets_from_function(own_parts)


@functools.cache
def _multi_worker_strategy() -> tf.distribute.Strategy:
    _check_tf_config(os.environ.get("TF_CONFIG"))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "strategy multi_worker must come before anything else that TensorFlow does in a process: use it "
            "with `proganomaly train`"
        ) from error
    except tf.errors.OpError as error:
        raise UserError(f"this worker cannot join the job of TF_CONFIG: {_line(error)}") from error


def _check_tf_config(text: str | None) -> None:
    """Raises UserError unless TF_CONFIG names this worker among those of a job."""
    if not text:
        raise UserError("strategy multi_worker needs the environment variable TF_CONFIG; it is not set")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UserError(f"TF_CONFIG must be JSON; received {text[:80]!r}") from error
    cluster = _member(config, "cluster")
    addresses = {job: cluster[job] for job in sorted(cluster)}
    if not addresses or not set(addresses) <= {"chief", "worker"}:
        raise UserError(
            f"TF_CONFIG's cluster must consist of worker and chief; received {', '.join(addresses) or '{}'}"
        )
    for job, names in addresses.items():
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise UserError(f"TF_CONFIG's cluster.{job} must be a list of host:port; received {names!r}")
    task = _member(config, "task")
    own = addresses.get(str(task.get("type")), [])
    if not own:
        raise UserError(
            f"TF_CONFIG's task.type must be {' or '.join(addresses)}; received {task.get('type')!r}"
        )
    if task.get("index") not in range(len(own)):
        raise UserError(
            f"TF_CONFIG's task.index must be from 0 to {len(own) - 1}; received {task.get('index')!r}"
        )


def _member(config: Any, name: str) -> dict[str, Any]:
    value = config.get(name) if isinstance(config, dict) else None
    if not isinstance(value, dict):
        raise UserError(f"TF_CONFIG must have an object {name!r}; received {value!r}")
    return value


@functools.cache
def _tpu_strategy(address: str, zone: str, project: str) -> tf.distribute.Strategy:
    # What TensorFlow calls the TPU of the machine that it runs on.
    place = address or "local"
    try:
        _check_connection(place)
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=place, zone=zone or None, project=project or None
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ImportError, OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        where = f"at {address}" if address else "in this machine"
        raise UserError(f"strategy tpu finds no TPU {where}: {_line(error)}") from error


def _check_connection(place: str) -> None:
    """Raises OSError where nothing listens at a grpc:// address: TensorFlow would wait for it for ever."""
    if place.startswith("grpc://"):
        host, _, port = place.removeprefix("grpc://").rpartition(":")
        if not (host and port.isdigit()):
            raise ValueError("an address is grpc://HOST:PORT")
        socket.create_connection((host, int(port)), timeout=_TPU_CONNECT_SECONDS).close()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
