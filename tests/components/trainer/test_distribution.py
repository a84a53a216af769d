"""Training on several devices against training on one, and how replicas share a batch."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.errors import SettingsError
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.distribution import (
    check_batch_sizes,
    create_strategy,
    distribute_batches,
    replica_indices,
)
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import ExecutionSettings

# In a process of its own: logical devices can only be made before TensorFlow's first use of them.
CHILD = """
import dataclasses, json, sys
import numpy as np
import tensorflow as tf
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.settings import ExecutionSettings, TrainerSettings

records, folder, settings = sys.argv[1:]
settings = from_json(TrainerSettings, settings)
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def run(strategy, folder):
    here = dataclasses.replace(settings, execution=ExecutionSettings(strategy=strategy))
    state = train(PyramidSource(records), ImageSpec(8, 1), here, folder, print).state
    return [np.array(v) for v in (*state.networks.variables(), *state.averages.variables())]

def difference(one, two):
    return max(float(np.max(np.abs(a - b))) for a, b in zip(one, two))

one_device = run("one_device", f"{folder}/one")
mirrored = run("mirrored", f"{folder}/two")
begun = run("one_device", f"{folder}/one")
taken_up = run("one_device", f"{folder}/two")
print(json.dumps({
    "replicas": tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).num_replicas_in_sync,
    "largest": difference(one_device, mirrored),
    "size": max(float(np.max(np.abs(a))) for a in one_device),
    "restored": difference(mirrored, taken_up),
    "terms": [[json.loads(line) for line in open(f"{folder}/{name}/stats.jsonl")] for name in ("one", "two")],
}))
"""


@pytest.mark.option("execution.strategy")
def test_two_devices_give_the_weights_of_one(tiny, tmp_path):
    """Over a change of resolution with its fade-in, and with groups of 4 in the minibatch statistics."""
    records = tiny.folders(tmp_path / "records", tiny.make_images(12))
    settings = tiny.settings({"final_images": 0}, logging={"images_per_snapshot": 0})
    assert settings.networks.minibatch_stddev_group == settings.schedule.batch_size // 2 == 4
    result = subprocess.run(
        [sys.executable, "-c", CHILD, records, str(tmp_path), to_json(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    # Sums in another order: float32 noise on weights of size 4, measured 2.4e-7.
    assert found["largest"] < 1e-5
    one, two = found["terms"]
    assert [tick["images_seen"] for tick in one] == list(range(16, 96, 16))
    for tick, other in zip(one, two, strict=True):
        # The norm of a gradient is the mean over the replicas' own gradients; the others are of the batch.
        names = [name for name in tick if not name.startswith(("gradient_norm/", "images_per_second"))]
        assert len(names) > 9
        for name in names:
            assert other[name] == pytest.approx(tick[name], rel=1e-3, abs=1e-4), name
    # What several devices saved, one takes up.
    assert found["restored"] == 0


@given(groups=st.integers(1, 4), group=st.integers(1, 5), replicas=st.integers(1, 4))
def test_replicas_share_a_batch_by_whole_groups(groups, group, replicas):
    """`minibatch_stddev` strides its groups over the batch it is given: they must be of the same images."""
    count = groups * group * replicas
    indices = replica_indices(count, replicas, group)
    assert sorted(indices.ravel()) == list(range(count))
    of_one_device = {frozenset(range(first, count, count // group)) for first in range(count // group)}
    of_replicas = {frozenset(own[first::groups].tolist()) for own in indices for first in range(groups)}
    assert of_replicas == of_one_device


def test_a_share_that_groups_do_not_divide_takes_smaller_ones():
    """Of 12 images each replica has 3: groups of 4 become groups of 3, and not those of one device."""
    assert replica_indices(12, 4, 4).shape == (4, 3)
    assert sorted(replica_indices(12, 4, 4).ravel()) == list(range(12))


class OneWorkersStrategy:
    """What a strategy does with the function that makes datasets, on one of its workers."""

    def __init__(self, context: tf.distribute.InputContext) -> None:
        self._context = context

    def distribute_datasets_from_function(self, function):
        return function(self._context)


@pytest.mark.parametrize("workers, devices", [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_every_replica_gets_its_images_and_their_labels(workers, devices):
    replicas, count = workers * devices, 12
    indices = replica_indices(count, replicas, 2)
    numbers = tf.data.Dataset.range(3 * count).batch(count)
    taken = []
    for worker in range(workers):
        strategy = OneWorkersStrategy(tf.distribute.InputContext(workers, worker, replicas))
        batches = distribute_batches(numbers.map(lambda n: (n, -n)), indices, strategy)
        parts = [(images.numpy(), labels.numpy()) for images, labels in batches]
        assert all((images == -labels).all() for images, labels in parts)
        # One after the other, as a worker hands them to its devices: all of a batch before the next one.
        taken.append([images for images, _ in parts])
        assert len(parts) == 3 * devices
    for batch in range(3):
        for replica in range(replicas):
            images = taken[replica // devices][batch * devices + replica % devices]
            assert images.tolist() == (batch * count + indices[replica]).tolist()


@pytest.mark.option("execution.strategy")
def test_strategies_by_name():
    assert isinstance(
        create_strategy(ExecutionSettings(strategy="one_device")), tf.distribute.OneDeviceStrategy
    )
    assert create_strategy(ExecutionSettings()).num_replicas_in_sync == 1


def test_replicas_must_share_every_batch():
    class Three:
        num_replicas_in_sync = 3

    check_batch_sizes([Stage(4, False, 0, 30, 6)], Three())
    with pytest.raises(SettingsError, match=r"at 8 pixels must be a multiple of the 3 replicas; received 8$"):
        check_batch_sizes([Stage(4, False, 0, 30, 6), Stage(8, False, 30, 46, 8)], Three())
