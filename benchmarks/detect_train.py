"""Trained networks of a task, kept so that another score needs no other training."""

import pathlib
import shutil
import tempfile
import time

import numpy as np
from detect_data import OneClassData
from detect_settings import Task
from filelock import FileLock

from proganomaly.components.model.networks import Networks, build_networks
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.export import plain_copy
from proganomaly.components.trainer.loop import train
from proganomaly.components.trainer.quality import measure_generator
from proganomaly.components.trainer.settings import LoggingSettings

_QUALITY_IMAGES = 2_048


def trained(task: Task, data: OneClassData, folder: pathlib.Path) -> tuple[Networks, float]:
    """Trains, goes on training, or takes what was trained before from `folder`.

    Returns:
        The averaged networks at the end of training, and the CPU seconds that `train` took. A run that was
        interrupted counts all that it took up to its last status line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, seconds = folder / "networks.npz", folder / "cpu_seconds.txt"
    # Another process may still be training them, if what started it was killed.
    with FileLock(folder / ".lock"):
        if not weights.exists():
            _store(_train(task, data, folder / "run", seconds), weights)
            # What is left are checkpoints with optimizers: much larger.
            shutil.rmtree(folder / "run")
    networks = build_networks(task.trainer.networks, task.spec)
    with np.load(weights) as stored:
        for variable, name in zip(networks.variables(), stored.files, strict=True):
            variable.assign(stored[name])
    return networks, float(seconds.read_text())


def generator_quality(task: Task, data: OneClassData, networks: Networks) -> dict[str, float]:
    """Returns the sliced Wasserstein distance of generated images from the training images, 0 is best."""
    settings = LoggingSettings(metrics=("swd",), metric_images=_QUALITY_IMAGES)
    with tempfile.TemporaryDirectory() as pyramid:
        data.write_pyramid(pyramid)
        source = PyramidSource(pyramid)
        measures = measure_generator(networks, source, task.spec.resolution, settings, task.seed)
    return {"swd": measures["quality/swd"]}


def _train(task: Task, data: OneClassData, folder: pathlib.Path, seconds: pathlib.Path) -> Networks:
    with tempfile.TemporaryDirectory() as pyramid:
        data.write_pyramid(pyramid)
        source = PyramidSource(pyramid)
        clock = _CpuClock(seconds)
        run = train(source, task.spec, task.trainer, str(folder), clock.note)
        clock.note(f"trained on {run.images_seen:,} images")
    return plain_copy(run.state.averages, task.spec, task.trainer)


def _store(networks: Networks, path: pathlib.Path) -> None:
    beside = path.with_suffix(".part.npz")
    np.savez(beside, *(variable.numpy() for variable in networks.variables()))
    beside.rename(path)


class _CpuClock:
    """Notes the CPU seconds of this process in a file, on top of those that it has from earlier ones."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._earlier = float(path.read_text()) if path.exists() else 0.0
        self._began = time.process_time()

    def note(self, line: str) -> None:
        """Receives the status lines of a run: time is noted with each."""
        seconds = self._earlier + time.process_time() - self._began
        self._path.write_text(f"{seconds:.3f}")
        print(f"{seconds:6.0f} CPU s  {line}", flush=True)
