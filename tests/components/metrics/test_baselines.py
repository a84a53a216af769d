import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.metrics.baselines import knn_baseline, pca_baseline


def images(seed, number, shape=(6, 5, 3)):
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), dtype=np.uint8)


@pytest.mark.parametrize("number_of_normal", [3, 90])
def test_knn_is_the_mean_of_the_five_nearest(number_of_normal):
    normal, tested = images(0, number_of_normal), images(1, 70)
    scores, maps = knn_baseline(normal, tested)
    for place in (0, 63, 64, 69):
        difference = (normal.astype(float) - tested[place]) / 255
        distances = np.sqrt((difference**2).sum(axis=(1, 2, 3)))
        nearest = np.argsort(distances)[:5]
        assert scores[place] == pytest.approx(distances[nearest].mean(), rel=1e-4)
        expected_map = np.abs(difference[nearest].mean(axis=0)).mean(axis=-1)
        np.testing.assert_allclose(maps[place], expected_map, atol=1e-5)


def test_pca_is_the_residual_of_the_leading_singular_vectors():
    normal, tested = images(2, 100, (8, 8, 1)), images(3, 70, (8, 8, 1))
    scores, maps = pca_baseline(normal, tested, components=10)
    flat = normal.reshape(100, -1) / 255
    mean = flat.mean(axis=0)
    leading = np.linalg.svd(flat - mean, full_matrices=False)[2][:10]
    centred = tested.reshape(70, -1) / 255 - mean
    residual = centred - centred @ leading.T @ leading
    np.testing.assert_allclose(scores, np.linalg.norm(residual, axis=1), rtol=1e-4)
    np.testing.assert_allclose(maps, np.abs(residual).reshape(70, 8, 8), atol=1e-4)


def test_pca_of_few_images_rebuilds_them():
    normal = images(4, 4)
    scores, maps = pca_baseline(normal, normal)
    assert scores.max() < 1e-4
    assert maps.max() < 1e-4


@pytest.mark.parametrize("baseline", [knn_baseline, pca_baseline])
def test_a_bright_square_is_found_and_located(baseline):
    rng = np.random.default_rng(5)
    normal = rng.normal(100, 10, (40, 16, 16, 1)).astype(np.uint8)
    tested = rng.normal(100, 10, (4, 16, 16, 1)).astype(np.uint8)
    tested[2, 4:8, 4:8] = 255
    scores, maps = baseline(normal, tested)
    assert scores.argmax() == 2
    assert maps[2, 4:8, 4:8].min() > np.delete(maps[2].ravel(), 0).mean() * 2
    assert scores.shape == (4,)
    assert maps.shape == (4, 16, 16)


def test_no_images_to_score():
    for baseline in (knn_baseline, pca_baseline):
        scores, maps = baseline(images(6, 8), images(7, 0))
        assert scores.shape == (0,)
        assert maps.shape == (0, 6, 5)


def test_too_few_normal_images():
    with pytest.raises(UserError, match="knn_baseline needs at least 1 normal images; received 0"):
        knn_baseline(images(0, 0), images(1, 2))
    with pytest.raises(UserError, match="pca_baseline needs at least 2 normal images; received 1"):
        pca_baseline(images(0, 1), images(1, 2))
