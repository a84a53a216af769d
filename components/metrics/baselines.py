"""Plain detectors on pixels, which any trained network has to beat.

All look at normal images only and return image scores, higher meaning more anomalous; those that can say
where also return anomaly maps. Memory is bounded by the images that they are fitted on and by the maps; both
the images to score, which are read in pieces, and the maps may be `numpy.memmap`s.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from proganomaly.components.errors import UserError

# Values of images that are scored at a time: 16 MiB as float32.
_CHUNK_VALUES = 2**22

Scores = NDArray[np.float32]
Maps = NDArray[np.float32]
ScoresAndMaps = tuple[Scores, Maps]


def knn_baseline(
    normal: NDArray[np.uint8], images: NDArray[np.uint8], neighbours: int = 5, maps: Maps | None = None
) -> ScoresAndMaps:
    """Scores by the distance to the nearest normal images, in pixels divided by 255.

    Args:
        normal: [N, H, W, C] uint8, N at least 1; with fewer than `neighbours`, all are taken.
        images: [M, H, W, C] uint8, the images to score.
        neighbours: Number of nearest images.
        maps: float32 [M, H, W], where to write the maps; a new array if None.

    Returns:
        Scores [M], the mean Euclidean distance to the neighbours, and maps [M, H, W], the absolute difference
        to the neighbours' mean, averaged over the channels.

    Raises:
        UserError: there is no normal image.
    """
    _check_number("knn_baseline", normal, 1)
    reference = _rows(normal)
    index = NearestNeighbors(n_neighbors=min(neighbours, len(normal)), algorithm="brute").fit(reference)
    scores, maps = _empty_result(images, maps)
    for chunk in _chunks(images):
        rows = _rows(images[chunk])
        distances, nearest = index.kneighbors(rows)
        scores[chunk] = distances.mean(axis=1)
        for place, row, own_nearest in zip(range(chunk.start, chunk.stop), rows, nearest, strict=True):
            maps[place] = _map(row - reference[own_nearest].mean(axis=0), images.shape)
    return scores, maps


def pca_baseline(
    normal: NDArray[np.uint8], images: NDArray[np.uint8], components: int = 64, maps: Maps | None = None
) -> ScoresAndMaps:
    """Scores by what is lost when an image is rebuilt from the normal images' principal components.

    Args:
        normal: [N, H, W, C] uint8, N at least 2; at most N - 1 components are taken.
        images: [M, H, W, C] uint8, the images to score.
        components: Number of principal components.
        maps: float32 [M, H, W], where to write the maps; a new array if None.

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
    scores, maps = _empty_result(images, maps)
    for chunk in _chunks(images):
        rows = _rows(images[chunk])
        residual = rows - model.inverse_transform(model.transform(rows))
        scores[chunk] = np.linalg.norm(residual, axis=1)
        maps[chunk] = _map(residual, images.shape)
    return scores, maps


def isolation_forest_baseline(
    normal: NDArray[np.uint8], images: NDArray[np.uint8], trees: int = 100, seed: int = 0
) -> Scores:
    """Scores by how soon random splits of single pixels set an image apart (Liu et al., ICDM 2008).

    Args:
        normal: [N, H, W, C] uint8, N at least 1; each tree sees at most 256 of them, as in the paper.
        images: [M, H, W, C] uint8, the images to score.
        trees: Number of trees.
        seed: Equal seeds make equal scores.

    Returns:
        Scores [M] from 0 to 1; it cannot say where.

    Raises:
        UserError: there is no normal image.
    """
    _check_number("isolation_forest_baseline", normal, 1)
    forest = IsolationForest(n_estimators=trees, random_state=seed).fit(_rows(normal))
    scores = np.zeros(len(images), np.float32)
    for chunk in _chunks(images):
        scores[chunk] = -forest.score_samples(_rows(images[chunk]))
    return scores


def _check_number(name: str, normal: NDArray[np.uint8], least: int) -> None:
    if len(normal) < least:
        raise UserError(f"{name} needs at least {least} normal images; received {len(normal)}")


def _rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), int(np.prod(images.shape[1:]))).astype(np.float32) / np.float32(255)


def _empty_result(images: NDArray[np.uint8], maps: Maps | None) -> ScoresAndMaps:
    return np.zeros(len(images), np.float32), np.zeros(images.shape[:3], np.float32) if maps is None else maps


def _chunks(images: NDArray[np.uint8]) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def _map(residual: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns the absolute residual of one or more flat rows as images [..., H, W], mean over channels."""
    return np.abs(residual).reshape(*residual.shape[:-1], *shape[1:]).mean(axis=-1)
