"""Which images show the same thing but for a new encoding: told by small thumbnails, so that it scales."""

import base64

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16
# More pairs than this mean a scene that does not change, not copies of images.
_MAX_PAIRS = 20_000_000
_CHUNK = 1000


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the mean grey of 16 x 16 equal areas.

    Args:
        image: uint8 [height, width, 1 to 4 channels]; alpha, the 2nd or 4th channel, is left out.

    Returns:
        uint8 [16, 16].
    """
    channels = image.shape[2]
    colours = image[:, :, 0] if channels < 3 else image[:, :, :3]
    grey = Image.fromarray(np.ascontiguousarray(colours)).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def to_text(small: NDArray[np.uint8]) -> str:
    """Returns a thumbnail as text, in base 64."""
    return base64.b64encode(small.tobytes()).decode("ascii")


def from_text(text: str) -> NDArray[np.uint8]:
    """Returns the thumbnail that `to_text` wrote, uint8 [16, 16]."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIDE, SIDE)


def near_pairs(
    thumbnails: NDArray[np.uint8], others: NDArray[np.uint8], levels: float
) -> NDArray[np.intp] | None:
    """Finds all pairs of near-identical images.

    Args:
        thumbnails: uint8 [N, 16, 16].
        others: uint8 [M, 16, 16].
        levels: Largest root mean square difference of two thumbnails, in grey levels of 255.

    Returns:
        int [P, 2], indices into both; None where there are more than can be listed.
    """
    if not len(thumbnails) or not len(others):
        return np.empty((0, 2), np.intp)
    # Along the direction in which images differ most only few are near enough to be looked at; the distance
    # along any direction is at most the whole distance.
    left, right = (x.reshape(len(x), -1).astype(np.float32) for x in (thumbnails, others))
    direction = _main_direction(right)
    places_left, places_right = left @ direction, right @ direction
    order_left, order_right = np.argsort(places_left), np.argsort(places_right)
    sorted_right = places_right[order_right]
    norms_left, norms_right = np.square(left).sum(axis=1), np.square(right).sum(axis=1)
    radius = levels * SIDE
    found, number = [], 0
    for start in range(0, len(left), _CHUNK):
        rows = order_left[start : start + _CHUNK]
        first, last = places_left[rows[0]] - radius - 1, places_left[rows[-1]] + radius + 1
        columns = order_right[np.searchsorted(sorted_right, first) : np.searchsorted(sorted_right, last)]
        # |a - b|^2 = |a|^2 + |b|^2 - 2 ab. Products of bytes add up to less than 2^24: exact in float32.
        twice = 2 * (left[rows] @ right[columns].T)
        near = twice >= norms_left[rows, None] + norms_right[columns] - radius**2
        number += np.count_nonzero(near)
        if number > _MAX_PAIRS:
            return None
        row, column = np.nonzero(near)
        found.append(np.stack([rows[row], columns[column]], axis=1))
    return np.concatenate(found)


def _main_direction(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns about the unit vector, float32 [D], along which points [N, D] vary most."""
    sample = points[:: max(1, len(points) // _CHUNK)]
    _, vectors = np.linalg.eigh(np.cov(sample, rowvar=False) if len(sample) > 1 else np.eye(points.shape[1]))
    return vectors[:, -1].astype(np.float32)


def components(size: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Numbers the connected components of a graph of `size` nodes with the edges `pairs`, int [size]."""
    ones = np.ones(len(pairs), np.bool_)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(graph, directed=False)[1]
