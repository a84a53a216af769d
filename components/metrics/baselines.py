"""Two plain detectors on pixels, which any trained network has to beat.

Both look at normal images only, and both return image scores and anomaly maps, higher meaning more anomalous.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.errors import UserError

# Images taken at a time, so that memory is bounded by the two sets themselves.
CHUNK = 64

ScoresAndMaps = tuple[NDArray[np.float32], NDArray[np.float32]]


def knn_baseline(normal: NDArray[np.uint8], images: NDArray[np.uint8], neighbours: int = 5) -> ScoresAndMaps:
    """Scores by the distance to the nearest normal images, in pixels divided by 255.

    Args:
        normal: [N, H, W, C] uint8, N at least 1; with fewer than `neighbours`, all are taken.
        images: [M, H, W, C] uint8, the images to score.
        neighbours: Number of nearest images.

    Returns:
        Scores [M], the mean Euclidean distance to the neighbours, and maps [M, H, W], the absolute difference
        to the neighbours' mean, averaged over the channels.

    Raises:
        UserError: there is no normal image.
    """
    _check_number("knn_baseline", normal, 1)
    reference = _rows(normal)
    index = NearestNeighbors(n_neighbors=min(neighbours, len(normal)), algorithm="brute").fit(reference)
    scores, maps = _empty_result(images)
    for chunk in _chunks(len(images)):
        rows = _rows(images[chunk])
        distances, nearest = index.kneighbors(rows)
        scores[chunk] = distances.mean(axis=1)
        for place, row, own_nearest in zip(range(chunk.start, chunk.stop), rows, nearest, strict=True):
            maps[place] = _map(row - reference[own_nearest].mean(axis=0), images.shape)
    return scores, maps


def pca_baseline(normal: NDArray[np.uint8], images: NDArray[np.uint8], components: int = 64) -> ScoresAndMaps:
    """Scores by what is lost when an image is rebuilt from the normal images' principal components.

    Args:
        normal: [N, H, W, C] uint8, N at least 2; at most N - 1 components are taken.
        images: [M, H, W, C] uint8, the images to score.
        components: Number of principal components.

    Returns:
        Scores [M], the Euclidean norm of the residual in pixels divided by 255, and maps [M, H, W], its
        absolute value averaged over the channels.

    Raises:
        UserError: there are fewer than two normal images.
    """
    _check_number("pca_baseline", normal, 2)
    reference = _rows(normal)
    # The seed matters to the randomised solver that scikit-learn takes for large inputs.
    model = PCA(n_components=min(components, len(normal) - 1, reference.shape[1]), random_state=0)
    model.fit(reference)
    scores, maps = _empty_result(images)
    for chunk in _chunks(len(images)):
        rows = _rows(images[chunk])
        residual = rows - model.inverse_transform(model.transform(rows))
        scores[chunk] = np.linalg.norm(residual, axis=1)
        maps[chunk] = _map(residual, images.shape)
    return scores, maps


def _check_number(name: str, normal: NDArray[np.uint8], least: int) -> None:
    if len(normal) < least:
        raise UserError(f"{name} needs at least {least} normal images; received {len(normal)}")


def _rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), int(np.prod(images.shape[1:]))).astype(np.float32) / np.float32(255)


def _empty_result(images: NDArray[np.uint8]) -> ScoresAndMaps:
    return np.zeros(len(images), np.float32), np.zeros(images.shape[:3], np.float32)


def _chunks(number: int) -> Iterator[slice]:
    for start in range(0, number, CHUNK):
        yield slice(start, min(start + CHUNK, number))


def _map(residual: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns the absolute residual of one or more flat rows as images [..., H, W], mean over channels."""
    return np.abs(residual).reshape(*residual.shape[:-1], *shape[1:]).mean(axis=-1)
