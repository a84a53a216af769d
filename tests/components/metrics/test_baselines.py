import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from proganomaly.components.errors import UserError
from proganomaly.components.metrics import baselines
from proganomaly.components.metrics.baselines import isolation_forest_baseline, knn_baseline, pca_baseline


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


def test_isolation_forest_finds_what_differs_in_every_pixel():
    rng = np.random.default_rng(8)
    normal = rng.normal(100, 10, (300, 6, 6, 1)).astype(np.uint8)
    tested = rng.normal(100, 10, (80, 6, 6, 1)).astype(np.uint8)
    tested[40:] = rng.normal(140, 10, (40, 6, 6, 1)).astype(np.uint8)
    scores = isolation_forest_baseline(normal, tested)
    assert roc_auc_score(np.arange(80) >= 40, scores) > 0.99
    assert scores.min() > 0 and scores.max() < 1
    np.testing.assert_array_equal(scores, isolation_forest_baseline(normal, tested))
    assert np.any(scores != isolation_forest_baseline(normal, tested, seed=1))


@pytest.mark.parametrize("baseline", [knn_baseline, pca_baseline])
def test_images_and_maps_may_stand_in_files(baseline, tmp_path, monkeypatch):
    normal, tested = images(9, 30), images(10, 25)
    scores, maps = baseline(normal, tested)
    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=tested.shape)
    stored[:] = tested
    target = np.memmap(tmp_path / "maps", np.float32, "w+", shape=maps.shape)
    # 7 images at a time.
    monkeypatch.setattr(baselines, "_CHUNK_VALUES", 7 * 90)
    piecewise, written = baseline(normal, stored, maps=target)
    assert written is target
    np.testing.assert_allclose(piecewise, scores, rtol=1e-5)
    np.testing.assert_allclose(target, maps, atol=1e-5)


def test_no_images_to_score():
    for baseline in (knn_baseline, pca_baseline):
        scores, maps = baseline(images(6, 8), images(7, 0))
        assert scores.shape == (0,)
        assert maps.shape == (0, 6, 5)
    assert isolation_forest_baseline(images(6, 8), images(7, 0)).shape == (0,)


def test_too_few_normal_images():
    with pytest.raises(UserError, match="knn_baseline needs at least 1 normal images; received 0"):
        knn_baseline(images(0, 0), images(1, 2))
    with pytest.raises(UserError, match="pca_baseline needs at least 2 normal images; received 1"):
        pca_baseline(images(0, 1), images(1, 2))
    with pytest.raises(
        UserError, match="isolation_forest_baseline needs at least 1 normal images; received 0"
    ):
        isolation_forest_baseline(images(0, 0), images(1, 2))
