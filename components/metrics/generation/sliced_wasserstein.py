"""Sliced Wasserstein distance between the patches of two sets of images (Karras et al. 2018, section 5).

For each level of the Laplacian pyramid, small patches are compared: similar patches at every level mean that
the images agree in structure from the coarsest to the finest details. The values are those of the paper,
multiplied by 1,000; the distance of two halves of the real images tells what "no difference" looks like.
"""

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.metrics.generation.pyramid import laplacian_pyramid

SMALLEST_LEVEL = 16
PATCH_SIDE = 7
PATCHES_PER_IMAGE = 128
_DIRECTION_SETS = 4
_DIRECTIONS_PER_SET = 128
# Images taken through the pyramid at a time, so that memory is bounded by the patches themselves.
_CHUNK = 32


class PatchSample:
    """Collects the patches of a set of images, batch by batch.

    Patches of 7x7 pixels lie at 128 random places of each image and level. The levels are R, R/2, ..., 16.
    Images below 16 pixels, which the paper does not know, have the one level R and give the patch of every
    place once, with a side of `min(7, R)`.

    Args:
        seed: Of the places: two sets that are compared take theirs from equal places.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._random: dict[int, np.random.Generator] = {}
        self._patches: dict[int, list[NDArray[np.float32]]] = {}

    def add(self, images: NDArray[np.uint8]) -> None:
        """Takes the patches of uint8 [N, R, R, C], R a power of two."""
        for start in range(0, len(images), _CHUNK):
            for level, band in laplacian_pyramid(images[start : start + _CHUNK], SMALLEST_LEVEL).items():
                self._patches.setdefault(level, []).append(self._take(level, band))

    def descriptors(self) -> dict[int, NDArray[np.float32]]:
        """Returns float32 [M, C * side * side] by level, mean 0 and deviation 1 in each channel."""
        return {level: _normalized(np.concatenate(parts)) for level, parts in self._patches.items()}

    def _take(self, level: int, band: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns patches, [N * patches, C, side * side]."""
        side = min(PATCH_SIDE, level)
        places = level - side + 1
        windows = np.lib.stride_tricks.sliding_window_view(band, (1, side, side, 1))
        if level < SMALLEST_LEVEL:
            return windows.reshape(-1, band.shape[-1], side * side)
        random = self._random.setdefault(level, np.random.default_rng([self._seed, level]))
        at = (random.random((len(band), PATCHES_PER_IMAGE, 2)) * places).astype(int)
        patches = windows[np.arange(len(band))[:, None], at[..., 0], at[..., 1]]
        return patches.reshape(-1, band.shape[-1], side * side)


def image_distances(first: NDArray[np.uint8], second: NDArray[np.uint8], seed: int = 0) -> dict[int, float]:
    """Returns the distance of two sets of images by level; see `PatchSample` and `descriptor_distances`.

    Args:
        first: [N, R, R, C], R a power of two.
        second: As many images of that shape.
        seed: Of the patches' places and of the directions.
    """
    samples = PatchSample(seed), PatchSample(seed)
    for sample, images in zip(samples, (first, second), strict=True):
        sample.add(images)
    return descriptor_distances(samples[0], samples[1], seed)


def descriptor_distances(first: PatchSample, second: PatchSample, seed: int = 0) -> dict[int, float]:
    """Returns the sliced Wasserstein distance, times 1,000, by level.

    Raises:
        ValueError: the two hold different numbers of images, or images of different shapes.
    """
    pairs = first.descriptors(), second.descriptors()
    if list(pairs[0]) != list(pairs[1]):
        raise ValueError(f"images must be of one size; received levels {list(pairs[0])} and {list(pairs[1])}")
    return {level: 1_000 * sliced_wasserstein(pairs[0][level], pairs[1][level], seed) for level in pairs[0]}


def sliced_wasserstein(first: NDArray[np.floating], second: NDArray[np.floating], seed: int = 0) -> float:
    """Returns the mean over 4 x 128 random directions of the distance of the projections.

    In one dimension the Wasserstein distance of equally many points is the mean distance of the sorted ones.

    Args:
        first: [M, D].
        second: [M, D].
        seed: Of the directions.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"both sets must have one shape; received {first.shape} and {second.shape}")
    random = np.random.default_rng(seed)
    distances = []
    for _ in range(_DIRECTION_SETS):
        directions = random.standard_normal((_DIRECTIONS_PER_SET, first.shape[1])).astype(first.dtype)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        projected = [np.sort(directions @ points.T, axis=1) for points in (first, second)]
        distances.append(np.mean(np.abs(projected[0] - projected[1]), dtype=np.float64))
    return float(np.mean(distances))


def _normalized(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalizes [M, C, pixels] by channel and flattens it to [M, C * pixels]."""
    mean = patches.mean(axis=(0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    deviation = patches.std(axis=(0, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    # Constant channels have nothing to scale.
    patches = (patches - mean) / np.where(deviation > 0, deviation, 1)
    return patches.reshape(len(patches), -1)
