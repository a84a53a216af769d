"""What a run shows of itself: TensorBoard, sample pictures and one JSON line per tick."""

import json

import numpy as np
import tensorflow as tf

from proganomaly.components.files import write_atomic
from proganomaly.components.model.networks import to_network_range, to_uint8
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import TrainingState

_COLUMNS = 8
_FIXED_SEED = 42


class RunSummaries:
    """Writes `tensorboard/`, `samples/*.png` and `stats.jsonl` into the run's folder.

    A restarted run first drops the lines of `stats.jsonl` beyond its checkpoint.
    """

    def __init__(
        self,
        run_folder: str,
        state: TrainingState,
        source: PyramidSource,
        settings: TrainerSettings,
        images_seen: int,
    ) -> None:
        self._folder, self._state, self._source, self._settings = run_folder, state, source, settings
        self._writer = tf.summary.create_file_writer(f"{run_folder}/tensorboard")
        self._stats = f"{run_folder}/stats.jsonl"
        self._lines = _lines_up_to(self._stats, images_seen)
        self._snapshot = images_seen // settings.logging.images_per_snapshot

    def tick(
        self, stage: Stage, images_seen: int, losses: dict[str, float], images_per_second: float
    ) -> None:
        """Writes scalars and a line of statistics, and pictures where they are due."""
        values = {
            "resolution": stage.resolution,
            "alpha": stage.alpha(images_seen),
            "images_per_second": round(images_per_second, 2),
            **{name: value for name, value in losses.items()},
        }
        with self._writer.as_default(step=images_seen):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
        self._lines.append(json.dumps({"images_seen": images_seen, **values}))
        write_atomic(self._stats, "\n".join(self._lines) + "\n")
        if images_seen // self._settings.logging.images_per_snapshot > self._snapshot:
            self.snapshot(stage, images_seen)

    def snapshot(self, stage: Stage, images_seen: int) -> None:
        """Writes the grid of samples and the strips of reconstructions."""
        self._snapshot = images_seen // self._settings.logging.images_per_snapshot
        alpha = tf.constant(stage.alpha(images_seen), tf.float32) if stage.fading else None
        samples = self._samples(stage.resolution, alpha, images_seen)
        strips = self._strips(stage.resolution, alpha)
        with self._writer.as_default(step=images_seen):
            tf.summary.image("samples/fixed above, fresh below", samples[None])
            tf.summary.image("original, reconstruction, residual", strips[None])
        self._writer.flush()
        for name, picture in (("samples", samples), ("reconstructions", strips)):
            _write_png(f"{self._folder}/samples/{images_seen:09d}-{name}.png", picture)

    def _samples(self, resolution: int, alpha: tf.Tensor | None, images_seen: int) -> np.ndarray:
        """Two rows from latents that never change, two rows from fresh ones."""
        generator = self._state.averages.generator
        shape = [2 * _COLUMNS, generator.code_size]
        latents = tf.concat(
            [
                tf.random.stateless_normal(shape, [_FIXED_SEED, 0]),
                tf.random.stateless_normal(shape, [self._settings.seed, images_seen]),
            ],
            axis=0,
        )
        images = generator(latents, resolution=resolution, alpha=alpha)
        return grid(to_uint8(images).numpy(), _COLUMNS)

    def _strips(self, resolution: int, alpha: tf.Tensor | None) -> np.ndarray:
        """Training images, their reconstructions and what differs, one below the other."""
        averages = self._state.averages
        originals = next(self._source.batches(resolution, _COLUMNS))
        images = to_network_range(originals)
        codes = averages.encoder(images, alpha=alpha)
        reconstructions = averages.generator(codes, resolution=resolution, alpha=alpha)
        residual = to_uint8(tf.abs(images - reconstructions) - 1.0).numpy()
        return grid(np.concatenate([originals, to_uint8(reconstructions).numpy(), residual]), len(originals))


def write_anomaly_maps(
    run_folder: str, scorer: AnomalyScorer, source: PyramidSource, images_seen: int
) -> None:
    """Writes held-out normal images, their reconstructions and anomaly maps, when the scorer is fitted.

    White in a map is three times what the pixel threshold is: normal images should stay dark.
    """
    originals = next(source.batches(scorer.spec.resolution, _COLUMNS))
    explanation = scorer.explain(to_network_range(originals))
    heat = explanation.anomaly_map.numpy() / max(3 * scorer.pixel_threshold, 1e-6)
    maps = np.repeat((np.clip(heat, 0, 1) * 255).astype(np.uint8)[..., None], originals.shape[-1], axis=-1)
    strips = grid(np.concatenate([originals, explanation.reconstruction.numpy(), maps]), len(originals))
    with tf.summary.create_file_writer(f"{run_folder}/tensorboard").as_default(step=images_seen):
        tf.summary.image("original, reconstruction, anomaly map", strips[None])
    _write_png(f"{run_folder}/samples/anomaly-maps.png", strips)


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Tiles images [N, H, W, C] row by row: [N / columns * H, columns * W, C]."""
    count, height, width, channels = images.shape
    rows = count // columns
    tiled = images[: rows * columns].reshape(rows, columns, height, width, channels)
    return tiled.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def enlarged(picture: np.ndarray, minimum_width: int) -> np.ndarray:
    """Repeats pixels so that a picture of tiny images can be looked at."""
    factor = max(1, minimum_width // picture.shape[1])
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _write_png(path: str, picture: np.ndarray) -> None:
    write_atomic(path, tf.io.encode_png(enlarged(picture, 64 * _COLUMNS)).numpy())


def _lines_up_to(path: str, images_seen: int) -> list[str]:
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines()
    return [line for line in lines if json.loads(line)["images_seen"] <= images_seen]
