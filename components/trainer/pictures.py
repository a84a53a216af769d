"""Pictures of what the averaged networks can do: uint8 [height, width, 1 or 3]; see `displayable`."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from proganomaly.components.files import write_atomic
from proganomaly.components.images.display import displayable
from proganomaly.components.model.networks import Generator, Networks, to_network_range, to_uint8

# Images below this side are enlarged, so that they can be looked at; pixels between two images.
MINIMUM_SIDE = 64
GAP = 2


def sample_picture(
    generator: Generator, fixed: tf.Tensor, fresh: tf.Tensor, resolution: int, alpha: tf.Tensor | None
) -> np.ndarray:
    """Returns a row from codes that never change above a row from fresh ones, float [N, code_size]."""
    return tiled([_generated(generator, codes, resolution, alpha) for codes in (fixed, fresh)])


def interpolation_picture(
    generator: Generator, ends: tf.Tensor, count: int, resolution: int, alpha: tf.Tensor | None
) -> np.ndarray:
    """Returns a row of `count` images on the way between two codes, float [2, code_size].

    The label of a conditional GAN stays that of the first.
    """
    size = generator.latent_size
    latents = spherical_interpolation(ends[0, :size], ends[1, :size], count)
    labels = tf.repeat(ends[:1, size:], count, axis=0)
    return tiled([_generated(generator, tf.concat([latents, labels], axis=-1), resolution, alpha)])


def reconstruction_picture(networks: Networks, originals: np.ndarray, alpha: tf.Tensor | None) -> np.ndarray:
    """Returns images, uint8 [N, R, R, C], above their reconstructions and what differs (black: nothing)."""
    codes = networks.encoder(to_network_range(originals), alpha=alpha)
    reconstructions = _generated(networks.generator, codes, originals.shape[1], alpha)
    shown = displayable(originals)
    residuals = np.abs(shown.astype(np.int16) - reconstructions).astype(np.uint8)
    return tiled([shown, reconstructions, residuals])


def spherical_interpolation(start: tf.Tensor, end: tf.Tensor, count: int) -> tf.Tensor:
    """Walks from one latent to another in equal angles (Shoemake 1985): float [count, latent_size].

    Normal latents lie near a sphere; the straight way between two would leave it.
    """
    cosine = tf.reduce_sum(start * end) / (tf.norm(start) * tf.norm(end))
    # Latents in one line have no plane to turn in: the limit keeps them finite.
    angle = tf.acos(tf.clip_by_value(cosine, -1 + 1e-6, 1 - 1e-6))
    weights = tf.linspace(0.0, 1.0, count)[:, None]
    return (tf.sin((1 - weights) * angle) * start + tf.sin(weights * angle) * end) / tf.sin(angle)


def tiled(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Puts rows of equally many images, each uint8 [N, H, W, 1 or 3], below one another, with gaps in white.

    Images below `MINIMUM_SIDE` are enlarged by repeating pixels.
    """
    images = np.stack(rows)
    factor = max(1, MINIMUM_SIDE // images.shape[2])
    images = images.repeat(factor, axis=2).repeat(factor, axis=3)
    images = np.pad(images, [(0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    row_count, columns, height, width, channels = images.shape
    picture = images.transpose(0, 2, 1, 3, 4).reshape(row_count * height, columns * width, channels)
    return picture[:-GAP, :-GAP]


def write_png(path: str, picture: np.ndarray) -> None:
    """Writes a picture to a file."""
    write_atomic(path, tf.io.encode_png(picture).numpy())


def _generated(
    generator: Generator, codes: tf.Tensor, resolution: int, alpha: tf.Tensor | None
) -> np.ndarray:
    return displayable(to_uint8(generator(codes, resolution=resolution, alpha=alpha)).numpy())
