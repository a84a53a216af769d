"""A run killed at any moment and started again ends, bit for bit, where one that is left alone ends."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from proganomaly.components.settings import to_json

# Forks a run for each line that it reads, which saves the libraries' imports: TensorFlow begins to work in
# the forks alone. A run kills itself when something happens for the nth time: "reset" is growth,
# "manifest" lies between a checkpoint's files and the manifest that makes it one, "prune" behind both; or it
# is killed after some seconds. The answer to each line is whether it was killed.
FORKS = """
import hashlib, json, os, signal, sys, time
import numpy as np
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json
from proganomaly.components.trainer import checkpoint, loop, stored_weights
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.determinism import make_deterministic
from proganomaly.components.trainer.settings import TrainerSettings

def run(records, settings, folder, moment, count):
    left = [count]

    def passed(where):
        left[0] -= where == moment
        if where == moment and left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def followed(place, name, where):
        original = getattr(place, name)
        def follow(*arguments):
            passed(where)
            return original(*arguments)
        setattr(place, name, follow)

    followed(loop, "reset_optimizers", "reset")
    followed(stored_weights, "write_atomic", "manifest")
    followed(checkpoint.RunCheckpoint, "_prune", "prune")
    make_step = loop.make_step

    def make_followed_step(*arguments):
        step = make_step(*arguments)
        def follow(batch, images_seen):
            with open(f"{folder}/order.txt", "a") as order:
                print(images_seen, hashlib.sha256(batch[0].numpy().tobytes()).hexdigest(), file=order)
            result = step(batch, images_seen)
            passed("step")
            return result
        return follow

    loop.make_step = make_followed_step
    make_deterministic()
    settings = from_json(TrainerSettings, settings)
    end = loop.train(PyramidSource(records), ImageSpec(8, 1), settings, folder, lambda line: None)
    state = end.state
    optimizers = [variable for optimizer in state.optimizers.values() for variable in optimizer.variables]
    variables = [*state.networks.variables(), *state.averages.variables(), *optimizers]
    np.savez(f"{folder}/end.npz", end.images_seen, *map(np.array, variables))

records, settings = sys.argv[1:]
for line in sys.stdin:
    folder, moment, count = json.loads(line)
    os.makedirs(folder, exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            run(records, settings, folder, moment, count)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    if moment == "seconds":
        time.sleep(count)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    print(json.dumps(status != 0), flush=True)
"""
# 4x4 stable to 32 images, 8x8 fading in to 80, 8x8 stable to 112, a checkpoint every 16: how often each of
# the moments comes in a run that is left alone.
MOMENTS = {"reset": 2, "manifest": 7, "prune": 7, "step": 14}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """Starts or takes up the run in a folder: `run(folder, moment, count)` says whether it was killed."""
    records = tiny.folders(tmp_path_factory.mktemp("records"), tiny.make_images(20), shards=2)
    settings = tiny.settings(
        checkpoints={"images": 16, "seconds": 1e6},
        execution={"deterministic": True},
        logging={"images_per_tick": 10**6, "images_per_snapshot": 10**6},
    )
    command = [sys.executable, "-c", FORKS, records, to_json(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:

        def run_in(folder: Path, moment: str = "never", count: float = 0) -> bool:
            forks.stdin.write(json.dumps([str(folder), moment, count]) + "\n")
            forks.stdin.flush()
            return json.loads(forks.stdout.readline())

        yield run_in
        forks.stdin.close()


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory) -> Path:
    """The folder of the run that is left alone."""
    folder = tmp_path_factory.mktemp("alone")
    assert not run(folder)
    return folder


def _order(folder: Path) -> dict[int, str]:
    """Returns the batch's hash by images seen; every attempt must have seen the same."""
    pairs = {tuple(line.split()) for line in (folder / "order.txt").read_text().splitlines()}
    order = {int(images_seen): digest for images_seen, digest in pairs}
    assert len(order) == len(pairs)
    return order


def _assert_same_end(one: Path, two: Path) -> None:
    ends = [np.load(folder / "end.npz") for folder in (one, two)]
    assert ends[0].files == ends[1].files and len(ends[0].files) > 100
    for name in ends[0].files:
        assert ends[0][name].tobytes() == ends[1][name].tobytes()
    assert _order(one) == _order(two) and len(_order(one)) == 14


@pytest.mark.option("execution.deterministic", "checkpoints.images")
def test_killed_at_growth_while_saving_and_at_random_it_ends_in_the_same_bits(run, alone, tmp_path):
    assert run(tmp_path, "reset", 2)
    assert {path.stem for path in (tmp_path / "checkpoints").glob("*.json")} == {"ckpt-16", "ckpt-32"}
    # The checkpoint of 64 images has all of its files but the manifest.
    assert run(tmp_path, "manifest", 2)
    assert (tmp_path / "checkpoints" / "ckpt-64.index").exists()
    assert not (tmp_path / "checkpoints" / "ckpt-64.json").exists()
    # From 48 images on there are 8 steps, and a checkpoint after every other one.
    moment = random.SystemRandom().choice(["step", "manifest", "prune"])
    count = random.SystemRandom().randrange(1, 9 if moment == "step" else 5)
    assert run(tmp_path, moment, count), (moment, count)
    assert not run(tmp_path)
    _assert_same_end(alone, tmp_path)


@pytest.mark.slow
def test_killed_twenty_times_it_ends_in_the_same_bits(run, alone, tmp_path):
    """Half of the kills come at moments known to matter, half at a random time."""
    seed = time.time_ns()
    draw = random.Random(seed)
    began = time.monotonic()
    assert not run(tmp_path / "timed")
    seconds = time.monotonic() - began
    kills: list[str] = []
    ends = 0
    while len(kills) < 20:
        folder = tmp_path / str(ends)
        if len(kills) % 2:
            moment = draw.choice(sorted(MOMENTS))
            count: float = draw.randrange(1, min(MOMENTS[moment], 4) + 1)
        else:
            moment, count = "seconds", draw.uniform(0, 1) * seconds
        if run(folder, moment, count):
            kills.append(f"{moment} {count:.4g}")
        else:
            _assert_same_end(alone, folder)
            ends += 1
    run(tmp_path / str(ends))
    _assert_same_end(alone, tmp_path / str(ends))
    print(f"seed {seed}: {len(kills)} kills in {ends + 1} runs: {', '.join(kills)}")
