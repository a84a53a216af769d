"""What a run shows of itself: TensorBoard, pictures and one JSON line per tick."""

import json
import math
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from proganomaly.components.files import write_atomic
from proganomaly.components.images.display import displayable
from proganomaly.components.model.networks import Networks, make_codes, to_network_range
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.events import Event, drop_events
from proganomaly.components.trainer.pictures import (
    interpolation_picture,
    reconstruction_picture,
    sample_picture,
    tiled,
    write_png,
)
from proganomaly.components.trainer.quality import measure_generator
from proganomaly.components.trainer.schedule import Stage
from proganomaly.components.trainer.settings import LoggingSettings, TrainerSettings
from proganomaly.components.trainer.step import TrainingState

_MAPS_TAG = "pictures/anomaly maps (original, reconstruction, map)"


class RunSummaries:
    """Writes `tensorboard/`, `samples/*.png`, `stats.jsonl` and `networks-<resolution>.txt`.

    A run that goes on from a checkpoint first drops scalars and pictures beyond it, as they will come again.

    Args:
        run_folder: Where all of it goes.
        state: What is trained.
        source: The training images.
        settings: The run's settings.
        stages: All stages of the run.
        images_seen: Where the run begins or goes on.
        writes: Whether this process is the one of its job that writes.
    """

    def __init__(
        self,
        run_folder: str,
        state: TrainingState,
        source: PyramidSource,
        settings: TrainerSettings,
        stages: list[Stage],
        images_seen: int,
        writes: bool = True,
    ) -> None:
        self._folder, self._state, self._source, self._settings = run_folder, state, source, settings
        self._logging, self._writes, self._images_seen = settings.logging, writes, images_seen
        self._resolution_ends = {stage.resolution: stage.end for stage in stages}
        self._stats = f"{run_folder}/stats.jsonl"
        if not writes:
            return
        self._lines = _lines_up_to(self._stats, images_seen)
        drop_events(
            f"{run_folder}/tensorboard",
            lambda event: event.HasField("summary") and (event.step > images_seen or not images_seen),
        )
        self._writer = _event_writer(run_folder, settings.logging)
        if not images_seen:
            self._describe_networks()

    def tick(
        self, stage: Stage, images_seen: int, terms: Mapping[str, float], images_per_second: float
    ) -> None:
        """Writes scalars and a line of statistics.

        Args:
            stage: The present stage.
            images_seen: Images seen so far.
            terms: The latest values of what the step returns, by name.
            images_per_second: Speed since the last tick.
        """
        if not self._writes:
            return
        values = {
            "resolution": stage.resolution,
            "alpha": stage.alpha(images_seen),
            "learning_rate": float(np.array(self._state.optimizers["generator"].learning_rate)),
            "images_per_second": round(images_per_second, 2),
            **terms,
        }
        self._write_scalars(images_seen, values)

    def snapshot(self, stage: Stage, images_seen: int) -> None:
        """Writes pictures where they are due: after every `images_per_snapshot` and where a stage ends."""
        interval = self._logging.images_per_snapshot
        last, self._images_seen = self._images_seen, images_seen
        if not interval or not self._writes:
            return
        if images_seen // interval == last // interval and images_seen < stage.end:
            return
        alpha = tf.constant(stage.alpha(images_seen), tf.float32) if stage.fading else None
        for (name, content), picture in self._pictures(stage.resolution, alpha, images_seen).items():
            with self._writer.as_default(step=images_seen):
                tf.summary.image(f"pictures/{name} ({content})", picture[None])
            write_png(f"{self._folder}/samples/{images_seen:09d}-{name}.png", picture)
        self._writer.flush()

    def measure(self, stage: Stage, images_seen: int) -> str:
        """Takes the measures of `logging.metrics` if a resolution ends here and they are not there yet.

        They may take minutes, so they are taken behind the checkpoint: a run that is stopped meanwhile takes
        them when it goes on.

        Returns:
            A line that tells of them; "" if there is nothing to tell.
        """
        ended = images_seen == self._resolution_ends[stage.resolution]
        if not (self._logging.metrics and ended and self._writes):
            return ""
        if any(json.loads(line)["images_seen"] == images_seen for line in self._lines if '"quality/' in line):
            return ""
        values = measure_generator(
            self._state.averages, self._source, stage.resolution, self._logging, self._settings.seed
        )
        self._write_scalars(images_seen, values)
        told = ", ".join(f"{name.removeprefix('quality/')} {value:.4g}" for name, value in values.items())
        return f"generator at {stage.resolution}x{stage.resolution}: {told}"

    def _write_scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        # JSON has no infinity, which the norm of a gradient in float16 may be.
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.append(json.dumps({"images_seen": images_seen, **finite}))
        write_atomic(self._stats, "\n".join(self._lines) + "\n")
        with self._writer.as_default(step=images_seen):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def _pictures(
        self, resolution: int, alpha: tf.Tensor | None, images_seen: int
    ) -> dict[tuple[str, str], np.ndarray]:
        """Returns the pictures by name and by what they show."""
        averages, count = self._state.averages, self._logging.samples
        fixed = self._codes([self._logging.image_seed, 0])
        fresh = self._codes([self._settings.seed, images_seen])
        originals = next(self._source.batches(resolution, count))
        return {
            ("samples", "fixed latents above, fresh below"): sample_picture(
                averages.generator, fixed[:count], fresh[:count], resolution, alpha
            ),
            ("interpolation", "between the first two fixed latents"): interpolation_picture(
                averages.generator, fixed[:2], count, resolution, alpha
            ),
            ("reconstructions", "original, reconstruction, residual"): reconstruction_picture(
                averages, originals, alpha
            ),
        }

    def _codes(self, seed: list[int]) -> tf.Tensor:
        """Returns a row of codes, at least two: images that stand in one column are of one class."""
        generator, count = self._state.averages.generator, max(self._logging.samples, 2)
        latents = tf.random.stateless_normal([count, generator.latent_size], seed)
        labels = tf.range(count) % max(generator.label_count, 1)
        return make_codes(latents, labels, generator.label_count)

    def _describe_networks(self) -> None:
        for resolution in self._resolution_ends:
            table = layer_table(self._state.networks, resolution)
            write_atomic(f"{self._folder}/networks-{resolution}.txt", table)
            with self._writer.as_default(step=0):
                tf.summary.text(f"networks/{resolution}x{resolution}", f"```\n{table}```")


def layer_table(networks: Networks, resolution: int) -> str:
    """Returns the layers that are there by a resolution: name, number of parameters, shapes of weights."""
    lines, total = [], 0
    for name in ("generator", "discriminator", "encoder"):
        shapes: dict[str, list[tuple[int, ...]]] = {}
        layer = ""
        for variable in getattr(networks, name).variables:
            # A bias is a layer of its own without a telling name; it stands behind its kernel.
            if not variable.path.startswith("channel_bias"):
                layer = variable.path.rpartition("/")[0]
            level = re.match(r"(\d+)x\1_", layer)
            if level is None or int(level[1]) <= resolution:
                shapes.setdefault(layer, []).append(tuple(variable.shape))
        counts = {layer: sum(int(np.prod(shape)) for shape in shapes[layer]) for layer in shapes}
        lines += [f"{name:<20}{sum(counts.values()):>12,} parameters", ""]
        lines += [
            f"  {layer:<18}{counts[layer]:>12,}  {', '.join(map(str, shapes[layer]))}" for layer in shapes
        ]
        lines += [""]
        total += sum(counts.values())
    return "\n".join([*lines, f"{'all networks':<20}{total:>12,} parameters", ""])


def write_anomaly_maps(
    run_folder: str, scorer: AnomalyScorer, source: PyramidSource, images_seen: int, settings: LoggingSettings
) -> None:
    """Writes held-out normal images, their reconstructions and anomaly maps, when the scorer is fitted.

    White in a map is three times what the pixel threshold is: normal images should stay dark.
    """
    if not settings.images_per_snapshot:
        return
    originals = next(source.batches(scorer.spec.resolution, settings.samples))
    explanation = scorer.explain(to_network_range(originals))
    heat = explanation.anomaly_map.numpy() / max(3 * scorer.pixel_threshold, 1e-6)
    shown = [displayable(images) for images in (originals, explanation.reconstruction.numpy())]
    maps = np.repeat((np.clip(heat, 0, 1) * 255).astype(np.uint8)[..., None], shown[0].shape[-1], axis=-1)
    picture = tiled([*shown, maps])
    # A run that is scored anew shows its new maps alone.
    drop_events(f"{run_folder}/tensorboard", _shows_maps)
    with _event_writer(run_folder, settings).as_default(step=images_seen):
        tf.summary.image(_MAPS_TAG, picture[None])
    write_png(f"{run_folder}/samples/anomaly-maps.png", picture)


def _shows_maps(event: Event) -> bool:
    return any(value.tag == _MAPS_TAG for value in event.summary.value)


def _event_writer(run_folder: str, settings: LoggingSettings) -> tf.summary.SummaryWriter:
    if not settings.tensorboard:
        return tf.summary.create_noop_writer()
    return tf.summary.create_file_writer(f"{run_folder}/tensorboard")


def _lines_up_to(path: str, images_seen: int) -> list[str]:
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines()
    return [line for line in lines if json.loads(line)["images_seen"] <= images_seen]
