"""Pictures and films by an exported model's generator."""

import io
import itertools
import math
import os
import tempfile
from collections.abc import Iterator

import imageio_ffmpeg
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from scipy import special

from proganomaly.components.errors import UserError, check_range
from proganomaly.components.evaluator.predict import load_served
from proganomaly.components.files import write_atomic
from proganomaly.components.images.display import displayable
from proganomaly.components.trainer import stored_weights
from proganomaly.components.trainer.pictures import spherical_interpolation, tiled, write_png
from proganomaly.components.trainer.stored_weights import DamagedError
from proganomaly.components.trainer.warm_start import EXPORTED_WEIGHTS
from proganomaly.pipeline.serving_directory import newest_version

_BATCH = 16
# A GIF counts in hundredths of a second: films of both kinds have exactly this speed.
_FRAMES_PER_SECOND = 25
# Frames below this side are enlarged, so that they can be looked at.
_MINIMUM_FRAME_SIDE = 256
Images = Iterator[NDArray[np.uint8]]

# Grey, RGB, RGBA; other numbers of channels are made `displayable`.
_PNG_CHANNELS = (1, 3, 4)


class ServedGenerator:
    """The signature `generate` of an exported model.

    Args:
        model: Folder of a SavedModel, or of its versions, of which the newest counts.

    Attributes:
        label_count: Classes of a conditional generator, 0 for none.
        latent_size: Length of the latents.

    Raises:
        UserError: there is none, it has not that signature, or what it tells of itself is damaged.
    """

    def __init__(self, model: str) -> None:
        path = newest_version(model) or model
        self._model = load_served(path, "generate")
        self._generate = self._model.signatures["generate"]
        self.label_count = _label_count(path)
        code_size = int(self._generate.structured_input_signature[1]["latents"].shape[1])
        self.latent_size = code_size - self.label_count

    def codes(
        self, count: int, seed: int, truncation: float | None = None, label: int | None = None
    ) -> NDArray[np.float32]:
        """Draws normal latents, with one-hot labels behind them where the generator takes labels.

        Args:
            count: Number of codes; more of them begin with the same ones.
            seed: Of the latents.
            truncation: Largest absolute value of a latent, None for any: the truncated normal of Brock et al.
                2019, section 3.1. Merely scaled latents would change nothing where the generator normalizes
                them.
            label: Class of all images, None for one class after the other.

        Returns:
            float [count, latent_size + label_count].

        Raises:
            UserError: there is no such label.
        """
        if label is not None and not self.label_count:
            raise UserError(f"the model takes no labels; received label {label}")
        if label is not None:
            check_range("label", label, minimum=0, maximum=self.label_count - 1)
        latents = np.random.default_rng(seed).standard_normal((count, self.latent_size))
        if truncation is not None:
            below = special.ndtr(-truncation)
            latents = special.ndtri(below + special.ndtr(latents) * (1 - 2 * below))
        labels = np.zeros((count, self.label_count))
        if self.label_count:
            labels[np.arange(count), np.arange(count) % self.label_count if label is None else label] = 1
        return np.concatenate([latents, labels], axis=1).astype(np.float32)

    def looped(self, stops: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """Walks from each code to the next, and from the last to the first.

        The frame that would follow the last one is the first: a film of these runs on for ever. Latents walk
        by `spherical_interpolation`, labels straight.

        Args:
            stops: Codes, float [K, latent_size + label_count].
            frames: Frames from each code up to the next.

        Returns:
            float [K * frames, latent_size + label_count].
        """
        size, ways = self.latent_size, []
        for start, end in zip(stops, np.roll(stops, -1, axis=0), strict=True):
            latents = spherical_interpolation(start[:size], end[:size], frames + 1)
            labels = np.linspace(start[size:], end[size:], frames + 1, dtype=np.float32)
            ways.append(np.concatenate([latents, labels], axis=1)[:-1])
        return np.concatenate(ways)

    def images(self, codes: NDArray[np.float32]) -> Images:
        """Yields one image after the other, uint8 [R, R, C]."""
        for start in range(0, len(codes), _BATCH):
            yield from self._generate(latents=tf.constant(codes[start : start + _BATCH]))["images"].numpy()


def write_grid(path: str, images: Images, rows: int, columns: int) -> None:
    """Writes `rows * columns` images as one PNG, without transparency."""
    shown = map(displayable, images)
    write_png(path, tiled([np.stack(list(itertools.islice(shown, columns))) for _ in range(rows)]))


def write_images(folder: str, images: Images) -> None:
    """Writes each image as `<folder>/<number>.png`, pixel by pixel as the generator made it."""
    for number, image in enumerate(images):
        exact = image.shape[-1] in _PNG_CHANNELS
        write_png(os.path.join(folder, f"{number:06d}.png"), image if exact else displayable(image))


def write_gif(path: str, images: Images) -> None:
    """Writes a GIF that repeats for ever."""
    frames = (Image.fromarray(frame) for frame in _frames(images))
    file = io.BytesIO()
    next(frames).save(
        file, "GIF", save_all=True, append_images=frames, duration=1_000 // _FRAMES_PER_SECOND, loop=0
    )
    write_atomic(path, file.getvalue())


def write_mp4(path: str, images: Images) -> None:
    """Writes an H.264 film that any browser plays."""
    frames = _frames(images)
    first = next(frames)
    # The encoder writes to local files alone.
    with tempfile.TemporaryDirectory() as folder:
        film = os.path.join(folder, "film.mp4")
        writer = imageio_ffmpeg.write_frames(
            film,
            (first.shape[1], first.shape[0]),
            fps=_FRAMES_PER_SECOND,
            quality=9,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        writer.send(None)
        for frame in itertools.chain([first], frames):
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        with open(film, "rb") as file:
            write_atomic(path, file.read())


def _label_count(path: str) -> int:
    """Returns what the weights beside the model tell; 0 for a model without them."""
    weights = f"{path}/{EXPORTED_WEIGHTS}"
    if not tf.io.gfile.exists(weights + stored_weights.SUFFIX):
        return 0
    try:
        return stored_weights.read_manifest(weights).networks.label_count
    except DamagedError as error:
        raise UserError(f"the model {path} is damaged: {error}") from error


def _frames(images: Images) -> Images:
    """Yields RGB, without transparency, enlarged to `_MINIMUM_FRAME_SIDE`."""
    for image in map(displayable, images):
        factor = math.ceil(_MINIMUM_FRAME_SIDE / len(image))
        colour = np.broadcast_to(image, (*image.shape[:2], 3))
        yield colour.repeat(factor, axis=0).repeat(factor, axis=1)
