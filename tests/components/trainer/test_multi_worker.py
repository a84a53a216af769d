"""Workers as real processes on loopback: they train one run, lose one of them, and go on together."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.distribution import create_strategy
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.settings import ExecutionSettings

IMAGES, BATCH = 24, 8
GONE = (
    "one of the 2 workers has gone, and no step is possible without it; start all of them again, and the run "
    "goes on from its last checkpoint"
)

# Trains, notes which images every step of this worker takes, and stores its weights; errors as in the CLI.
CHILD = """
import json, sys
import numpy as np
import tensorflow as tf
from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json
from proganomaly.components.trainer import loop
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.distribution import create_strategy
from proganomaly.components.trainer.settings import TrainerSettings

records, folder, weights, settings = sys.argv[1:]
settings, taken = from_json(TrainerSettings, settings), {}
make_step = loop.make_step

def noting_step(state, settings, stage, strategy):
    step = make_step(state, settings, stage, strategy)
    def run(batch, images_seen):
        images = strategy.experimental_local_results(batch[0])[0].numpy()
        taken[images_seen] = images[:, 0, 0, 0].tolist()
        return step(batch, images_seen)
    return run

loop.make_step = noting_step
try:
    create_strategy(settings.execution)
    run = loop.train(
        PyramidSource(records), ImageSpec(8, 1), settings, folder, lambda line: print(line, flush=True)
    )
    state = run.state
    np.savez(weights, *[np.array(v) for v in (*state.networks.variables(), *state.averages.variables())])
    run.workers.wait()
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
print(json.dumps({"images_seen": run.images_seen, "taken": taken}))
"""


def settings_of(tiny, schedule: dict | None = None, **changes):
    groups = {
        "checkpoints": {"seconds": 0},
        "execution": {"strategy": "multi_worker"},
        "logging": {"images_per_snapshot": 0},
        # Quicker to trace.
        "losses": {"gradient_penalty": 0.0},
        **changes,
    }
    stages = {"stable_images": 16, "fading_images": 64, "final_images": 0, **(schedule or {})}
    return tiny.settings(stages, data={"mirror_augment": False}, **groups)


def addresses(count: int = 2) -> list[str]:
    """Addresses on loopback that nobody listens at."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    return found


@pytest.fixture
def start():
    """Starts the two workers of a job; ends what is left of them."""
    begun = []

    def run(command: list[list[str]]) -> list[subprocess.Popen]:
        cluster = {"worker": addresses()}
        for index, words in enumerate(command):
            config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
            begun.append(
                subprocess.Popen(
                    [sys.executable, *words],
                    env={**os.environ, "TF_CONFIG": config, "TF_CPP_MIN_LOG_LEVEL": "2"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return begun[-len(command) :]

    yield run
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def job(tiny, tmp_path, start):
    """Starts the two workers of a run of CHILD."""
    records = tiny.folders(tmp_path / "records", tiny.make_images(IMAGES))

    def run(settings, folder: str = "run") -> list[subprocess.Popen]:
        return start(
            [
                ["-c", CHILD, records, str(tmp_path / folder), str(tmp_path / f"{n}.npz"), to_json(settings)]
                for n in (0, 1)
            ]
        )

    run.records = records
    return run


def wait_for(process: subprocess.Popen, text: str) -> None:
    assert any(text in line for line in process.stdout), process.stderr.read()[-2000:]


def results(workers: list[subprocess.Popen]) -> list[dict]:
    ends = [worker.communicate(timeout=300) for worker in workers]
    for worker, (_, errors) in zip(workers, ends, strict=True):
        assert worker.returncode == 0, errors[-2000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in ends]


def check_ends_in_one_line(worker: subprocess.Popen, seconds: float) -> None:
    """The worker that is left says what happened and ends, rather than waiting for ever."""
    _, errors = worker.communicate(timeout=seconds)
    assert worker.returncode == 2, errors[-2000:]
    # TensorFlow's own log may go on behind it.
    assert errors.splitlines().count(f"error: {GONE}") == 1, errors[-2000:]


def check_shares(source: PyramidSource, settings, taken: list[dict], first: int) -> None:
    """Two workers take two parts of the very batch that one device would take."""
    stages = {4: range(0, 16, BATCH), 8: range(16, 80, BATCH)}
    assert [int(seen) for seen in taken[0]] == list(range(first, 80, BATCH))
    for resolution, steps in stages.items():
        for images_seen in filter(lambda seen: seen >= first, steps):
            (images, _) = next(
                iter(
                    training_batches(source, resolution, BATCH, images_seen, settings.seed, settings.data, 0)
                )
            )
            parts = [worker[str(images_seen)] for worker in taken]
            assert [len(part) for part in parts] == [BATCH // 2] * 2
            assert sorted(parts[0] + parts[1]) == sorted(images[:, 0, 0, 0].numpy().tolist())
            # At 8 pixels an image's first pixel is its number, and no image comes twice in an epoch of three
            # batches.
            if resolution == 8:
                assert not set(parts[0]) & set(parts[1])


@pytest.mark.option("execution.strategy")
def test_a_job_that_loses_its_chief_goes_on_and_ends_as_one(tiny, tmp_path, job):
    settings = settings_of(tiny)
    chief, other = job(settings)
    wait_for(chief, "fade-in")
    chief.kill()
    check_ends_in_one_line(other, seconds=60)

    one, two = results(job(settings))
    assert one["images_seen"] == two["images_seen"] == 80
    first = min(map(int, one["taken"]))
    assert 16 < first < 80
    check_shares(PyramidSource(job.records), settings, [one["taken"], two["taken"]], first)
    mine, others = (np.load(tmp_path / f"{n}.npz") for n in (0, 1))
    assert len(mine.files) > 50
    for name in mine.files:
        np.testing.assert_array_equal(mine[name], others[name])
    assert len((tmp_path / "run" / "stats.jsonl").read_text().splitlines()) == 5
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("victim, number", [(1, signal.SIGKILL), (0, signal.SIGSTOP), (1, signal.SIGSTOP)])
def test_a_worker_that_is_killed_or_hangs_is_noticed(tiny, job, victim, number):
    """TensorFlow's heartbeats stop; it waits 10 seconds for them."""
    workers = job(settings_of(tiny, {"fading_images": 100_000}))
    wait_for(workers[0], "fade-in")
    workers[victim].send_signal(number)
    check_ends_in_one_line(workers[1 - victim], seconds=60)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize(
    "number, ending", [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_a_request_to_one_worker_stops_all_at_the_same_step(tiny, tmp_path, job, asked, number, ending):
    settings = settings_of(tiny, {"fading_images": 100_000}, checkpoints={"seconds": 1000})
    workers = job(settings)
    wait_for(workers[0], "fade-in")
    workers[asked].send_signal(number)
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert ending in errors[-3000:]
    (newest,) = sorted((tmp_path / "run" / "checkpoints").glob("ckpt-*.json"), key=os.path.getmtime)[-1:]
    assert int(newest.stem.removeprefix("ckpt-")) > 16


@pytest.mark.slow
def test_two_workers_follow_one_device(tiny, tmp_path, job):
    """Also in the default groups of minibatch statistics, and over a change of resolution."""
    settings = settings_of(tiny, {"final_images": 16}, losses={"gradient_penalty": 10.0})
    results(job(settings))
    alone = dataclasses.replace(settings, execution=ExecutionSettings())
    state = train(PyramidSource(job.records), ImageSpec(8, 1), alone, str(tmp_path / "alone"), print).state
    together = np.load(tmp_path / "0.npz")
    expected = [np.array(v) for v in (*state.networks.variables(), *state.averages.variables())]
    for value, name in zip(expected, together.files, strict=True):
        np.testing.assert_allclose(together[name], value, atol=1e-5)


@pytest.mark.slow
def test_workers_with_different_settings_or_folders_are_told(tiny, tmp_path, start):
    records = tiny.folders(tmp_path / "records", tiny.make_images(IMAGES))
    texts = [to_json(settings_of(tiny, seed=seed)) for seed in (1, 2)]
    workers = start([["-c", CHILD, records, str(tmp_path / "run"), "unused", text] for text in texts])
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        line = "error: the 2 workers must have the same settings, training images and run folder; they differ"
        assert (worker.returncode, errors.splitlines().count(line)) == (2, 1)


@pytest.mark.slow
def test_the_command_line_trains_with_two_workers_and_exports_once(tiny, tmp_path, start):
    """The chief is killed while it exports: the other one waits for it, ends, and both do it again."""
    records = tiny.single_files(tmp_path / "records", tiny.make_images(40))
    words = [
        "-c",
        "import sys; from proganomaly.pipeline.cli import main; sys.exit(main())",
        "train",
        records,
    ]
    words += [
        "--output",
        str(tmp_path / "out"),
        "--trainer.networks.fmap_max=8",
        "--trainer.networks.latent_size=8",
    ]
    words += ["--trainer.schedule.initial_resolution=8", "--trainer.schedule.final_images=64"]
    words += ["--trainer.execution.strategy=multi_worker", "--trainer.logging.images_per_tick=16"]
    workers = start([words, words])
    wait_for(workers[0], "64 / 64 images")
    workers[0].kill()
    _, errors = workers[1].communicate(timeout=60)
    assert workers[1].returncode == 2
    assert errors.splitlines().count(f"proganomaly train: error: {GONE}") == 1
    assert not (tmp_path / "out" / "model").exists()
    workers = start([words, words])
    ends = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    for output, _ in ends:
        assert output.splitlines()[-1] == f"model: {tmp_path / 'out' / 'model'}"
    assert (tmp_path / "out" / "model" / "saved_model.pb").exists()


def tf_config(monkeypatch, config: object) -> None:
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))


def with_task(task: object) -> dict:
    return {"cluster": {"worker": ["a:1", "b:1"]}, "task": task}


@pytest.mark.parametrize(
    "config, line",
    [
        ("", "strategy multi_worker needs the environment variable TF_CONFIG; it is not set"),
        ("{cluster", "TF_CONFIG must be JSON; received '{cluster'"),
        ("[1]", "TF_CONFIG must have an object 'cluster'; received None"),
        ({"task": {}}, "TF_CONFIG must have an object 'cluster'; received None"),
        ({"cluster": {}}, "TF_CONFIG's cluster must consist of worker and chief; received {}"),
        (
            {"cluster": {"ps": ["a:1"], "worker": ["b:1"]}},
            "TF_CONFIG's cluster must consist of worker and chief; received ps, worker",
        ),
        (
            {"cluster": {"worker": "a:1"}},
            "TF_CONFIG's cluster.worker must be a list of host:port; received 'a:1'",
        ),
        ({"cluster": {"worker": []}}, "TF_CONFIG's cluster.worker must be a list of host:port; received []"),
        (with_task(None), "TF_CONFIG must have an object 'task'; received None"),
        (with_task({"index": 0}), "TF_CONFIG's task.type must be worker; received None"),
        (with_task({"type": "chief", "index": 0}), "TF_CONFIG's task.type must be worker; received 'chief'"),
        (with_task({"type": "worker"}), "TF_CONFIG's task.index must be from 0 to 1; received None"),
        (with_task({"type": "worker", "index": 2}), "TF_CONFIG's task.index must be from 0 to 1; received 2"),
    ],
)
def test_a_job_that_is_not_described_is_told_in_one_line(monkeypatch, config, line):
    tf_config(monkeypatch, config)
    with pytest.raises(UserError) as caught:
        create_strategy(ExecutionSettings(strategy="multi_worker"))
    assert str(caught.value) == line


def test_several_workers_cannot_be_joined_when_tensorflow_has_begun(monkeypatch):
    tf.constant(0)
    tf_config(monkeypatch, {**with_task({"type": "worker", "index": 0}), "cluster": {"worker": addresses()}})
    with pytest.raises(UserError, match=r"^strategy multi_worker must come before anything else"):
        create_strategy(ExecutionSettings(strategy="multi_worker"))
