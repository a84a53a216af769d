"""Transformations whose recognition teaches the discriminator what normal images look like.

Each kind is a small set of transformations, the first of them the identity. Sources: rotations from
Gidaris et al. 2018 ("Unsupervised representation learning by predicting image rotations"); shifts and flips
from Golan and El-Yaniv 2018 ("Deep anomaly detection using geometric transformations", section 4.1); one
prediction for each kind rather than for each combination from Hendrycks et al. 2019 ("Using self-supervised
learning can improve model robustness and uncertainty", section 4); puzzles of four pieces after Noroozi and
Favaro 2016.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from proganomaly.components.model.settings import TRANSFORMS

_STEPS = (0, -1, 1)
# (down, right) in units of the shift; the first one stays.
_SHIFTS = np.array(list(itertools.product(_STEPS, _STEPS)), np.int32)
_PUZZLES = np.array(list(itertools.permutations(range(4))), np.int32)
_COUNTS = {"rotation": 4, "shift": len(_SHIFTS), "flip": 2, "jigsaw": len(_PUZZLES)}


def transform_counts(kinds: Sequence[str]) -> tuple[int, ...]:
    """Returns how many transformations each kind has."""
    return tuple(_COUNTS[kind] for kind in kinds)


def transformed(images: tf.Tensor, kinds: Sequence[str], choices: tf.Tensor) -> tf.Tensor:
    """Transforms each image by one transformation of every kind, in the order of `kinds`.

    Args:
        images: [N, R, R, C] of any type, R a multiple of 4.
        kinds: Names out of `TRANSFORMS`.
        choices: int32 [N, len(kinds)], each from 0 (as it is) to the kind's count - 1.

    Returns:
        As `images`; every pixel is one of the image's own.
    """
    for place, kind in enumerate(kinds):
        images = _APPLY[kind](images, choices[:, place])
    return images


def _rotate(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Turns anticlockwise by 0 to 3 quarters."""
    turns = quarter_turns[:, None, None, None]
    images = tf.where(turns % 2 == 1, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where((turns == 1) | (turns == 2), images[:, ::-1], images)
    return tf.where(turns >= 2, images[:, :, ::-1], images)


def _shift(images: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
    """Moves by a quarter of the side down or up, right or left; what leaves on one side enters opposite."""
    side = images.shape[1]
    amounts = tf.gather(_SHIFTS, choice) * (side // 4)
    places = (tf.range(side)[None, :, None] - amounts[:, None, :]) % side
    images = tf.gather(images, places[..., 0], axis=1, batch_dims=1)
    return tf.gather(images, places[..., 1], axis=2, batch_dims=1)


def _flip(images: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
    """Turns upside down or not."""
    return tf.where(choice[:, None, None, None] == 1, images[:, ::-1], images)


def _jigsaw(images: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
    """Puts the four quarters of the image into another order."""
    side, channels = images.shape[1], images.shape[3]
    half = side // 2
    pieces = tf.transpose(tf.reshape(images, [-1, 2, half, 2, half, channels]), [0, 1, 3, 2, 4, 5])
    pieces = tf.reshape(pieces, [-1, 4, half, half, channels])
    pieces = tf.gather(pieces, tf.gather(_PUZZLES, choice), axis=1, batch_dims=1)
    pieces = tf.reshape(pieces, [-1, 2, 2, half, half, channels])
    return tf.reshape(tf.transpose(pieces, [0, 1, 3, 2, 4, 5]), [-1, side, side, channels])


_APPLY: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = dict(
    zip(TRANSFORMS, (_rotate, _shift, _flip, _jigsaw), strict=True)
)
