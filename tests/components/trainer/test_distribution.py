"""Training on several devices against training on one."""

import dataclasses
import json
import subprocess
import sys

import pytest
import tensorflow as tf

from proganomaly.components.errors import SettingsError
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.distribution import check_batch_sizes, create_strategy
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
    "losses": [
        [json.loads(line)["loss/discriminator"] for line in open(f"{folder}/{name}/stats.jsonl")]
        for name in ("one", "two")
    ],
}))
"""


@pytest.mark.option("execution.strategy")
def test_two_devices_give_the_weights_of_one(tiny, tmp_path):
    records = tiny.folders(tmp_path / "records", tiny.make_images(12))
    settings = tiny.settings(
        {"initial_resolution": 8, "final_images": 48},
        # A group is strided over the global batch or over a replica's: only groups of one agree.
        networks=dataclasses.replace(tiny.networks, minibatch_stddev_group=1),
    )
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
    one, two = found["losses"]
    assert len(one) == 3 and one == pytest.approx(two, abs=1e-4)
    # What several devices saved, one takes up.
    assert found["restored"] == 0


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
