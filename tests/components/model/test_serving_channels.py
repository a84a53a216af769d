"""Exported models of networks with any number of channels."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.evaluator.predict import ServedModel
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings

NETWORKS = NetworkSettings(fmap_base=32, fmap_max=4, latent_size=4)


def _images(channels: int, count: int = 8) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (count, 8, 8, channels), np.uint8)


def _export(channels: int, folder: str) -> str:
    keras.utils.set_random_seed(1)
    spec = ImageSpec(8, channels)
    components = ("map_top", "structural_residual", "residual_mahalanobis")
    settings = ScoringSettings(coreset_size=16, members=components, components=components)
    scorer = AnomalyScorer(build_networks(NETWORKS, spec), spec, settings)
    scorer.fit(lambda: [_images(channels)])
    scorer.calibrate(lambda: [_images(channels)])
    serving = ServingModel(scorer)
    tf.saved_model.save(serving, folder, signatures=serving.signatures())
    return folder


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_rgba_files_and_their_pixels_get_the_same_score(tmp_path):
    model = tf.saved_model.load(_export(4, str(tmp_path)))
    images = _images(4, 3)
    files = tf.constant([_png(image) for image in images])
    explained = model.signatures["explain"](image_bytes=files)
    np.testing.assert_array_equal(explained["image"], images)
    assert explained["reconstruction"].shape == (3, 8, 8, 4)
    by_pixels = model.signatures["pixels"](images=tf.constant(images))
    np.testing.assert_allclose(by_pixels["score"], explained["score"], rtol=1e-5)


@pytest.mark.parametrize("channels", [2, 5])
def test_what_no_file_holds_is_given_as_pixels(channels, tmp_path):
    folder = _export(channels, str(tmp_path))
    model = tf.saved_model.load(folder)
    assert set(model.signatures) == {"serving_default", "explain", "encode", "pixels", "generate", "tiles"}
    images = tf.constant(_images(channels, 3))
    explained = model.signatures["explain"](images=images)
    np.testing.assert_array_equal(explained["image"], images)
    for name in ("serving_default", "pixels"):
        np.testing.assert_allclose(
            model.signatures[name](images=images)["score"], explained["score"], rtol=1e-5
        )
    assert model.signatures["encode"](images=images)["latents"].shape == (3, 4)
    with pytest.raises(UserError, match="takes pixels, not encoded images"):
        ServedModel(folder)
