"""Tiny pyramids of real structure, and settings with which a step takes milliseconds."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.records.pyramid_record import encode_pyramid_record, level_name
from proganomaly.components.trainer.settings import (
    DataSettings,
    LoggingSettings,
    ScheduleSettings,
    TrainerSettings,
)

TINY_NETWORKS = NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8)


def make_images(count: int, resolution: int = 8, channels: int = 1) -> np.ndarray:
    """Soft stripes and noise; every image carries its number in its first pixel, at the full resolution."""
    random = np.random.default_rng(3)
    ramp = np.linspace(0, 3, resolution)
    phases = random.uniform(0, 6, (count, 1, 1, channels))
    stripes = 120 + 80 * np.sin(ramp[None, :, None, None] * 2 + phases + 0 * ramp[None, None, :, None])
    images = (stripes + random.normal(0, 10, stripes.shape)).clip(0, 255).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return images


def write_levels(images: np.ndarray, smallest: int, path_of) -> None:
    """Writes every level as the box mean; `path_of(resolution)` gives the files that share the records."""
    count, largest = images.shape[:2]
    resolution = smallest
    while resolution <= largest:
        factor = largest // resolution
        boxes = images.reshape(count, resolution, factor, resolution, factor, -1)
        level = np.rint(boxes.mean(axis=(2, 4), dtype=np.float64)).astype(np.uint8)
        paths = path_of(resolution)
        for path, part in zip(paths, np.array_split(level, len(paths)), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for image in part:
                    writer.write(encode_pyramid_record(image))
        resolution *= 2


def replaced(settings, changes: dict):
    """Replaces settings; a dictionary stands for changes of a nested group."""
    groups = {
        name: replaced(getattr(settings, name), value)
        for name, value in changes.items()
        if isinstance(value, dict) and dataclasses.is_dataclass(getattr(settings, name))
    }
    return dataclasses.replace(settings, **{**changes, **groups})


class Tiny:
    """The helpers of this file, as test files cannot import it."""

    networks = TINY_NETWORKS
    make_images = staticmethod(make_images)

    @staticmethod
    def folders(folder, images: np.ndarray, shards: int = 1, smallest: int = 4) -> str:
        """Writes the layout `<folder>/rNN/*`."""
        write_levels(
            images,
            smallest,
            lambda resolution: [folder / level_name(resolution) / f"data-{n}" for n in range(shards)],
        )
        return str(folder)

    @staticmethod
    def single_files(folder, images: np.ndarray, prefix: str = "stripes-") -> str:
        """Writes the original's layout `<folder>/<prefix>rNN.tfrecords`."""
        write_levels(images, 4, lambda resolution: [folder / f"{prefix}{level_name(resolution)}.tfrecords"])
        return str(folder)

    @staticmethod
    def settings(schedule: dict | None = None, **changes) -> TrainerSettings:
        """A run of three stages at 8 pixels: 4 stable, 8 fading in, 8 stable; groups as dictionaries."""
        stages = {"stable_images": 32, "fading_images": 48, "final_images": 32, "batch_size": 8}
        settings = TrainerSettings(
            networks=TINY_NETWORKS,
            schedule=ScheduleSettings(**{**stages, **(schedule or {})}),
            data=DataSettings(shuffle_buffer=16, mirror_augment=True),
            logging=LoggingSettings(images_per_tick=16, images_per_snapshot=64),
            ema_half_life=100,
        )
        return replaced(settings, changes)


@pytest.fixture(scope="session")
def tiny() -> type[Tiny]:
    return Tiny
