"""A tiny exported model with the product's signatures, and held-out images that it gets mostly right."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.images.decode import decode_images
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks, build_networks
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.records import image_example
from proganomaly.components.settings import to_json
from proganomaly.components.trainer import stored_weights, warm_start

RESOLUTION = 16
THRESHOLD = 0.3


class BrightnessModel(tf.Module):
    """Takes an image's mean brightness for its score, and its pixels' for the map."""

    def __init__(self, spec: ImageSpec, sign: float, broken: bool) -> None:
        super().__init__()
        self.spec, self.sign, self.broken = spec, sign, broken

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def explain(self, image_bytes):
        images = decode_images(image_bytes, self.spec)
        anomaly_map = self.sign * tf.reduce_mean(tf.cast(images, tf.float32) / 255, axis=3)
        score = tf.reduce_mean(anomaly_map, axis=[1, 2])
        if self.broken:
            score = tf.where(score > THRESHOLD, float("nan"), score)
        normalized = tf.sigmoid(20 * (score - THRESHOLD))
        return {
            "score": score,
            "normalized_score": normalized,
            "p_value": 1 - normalized,
            "is_anomaly": score > THRESHOLD,
            "threshold": tf.fill(tf.shape(score), THRESHOLD),
            "threshold_interval": tf.fill([tf.shape(score)[0], 2], THRESHOLD),
            "pixel_threshold": tf.fill(tf.shape(score), 0.5),
            "pixel_threshold_interval": tf.fill([tf.shape(score)[0], 2], 0.5),
            "anomaly_map": anomaly_map,
            "image": images,
            "reconstruction": 255 - images,
            "pixel_residual": 2 * score,
            "latent_norm": -score,
        }


# What the exporter writes beside a model; of the networks that it names, the control is made.
DESCRIPTION = {
    "networks": json.loads(to_json(NetworkSettings(fmap_base=32, fmap_max=4, latent_size=4))),
    "scoring": json.loads(
        to_json(
            ScoringSettings(
                members=("pixel_residual",),
                components=("pixel_residual", "latent_norm"),
                coreset_size=16,
                reservoir_size=64,
                false_positive_rate=0.1,
            )
        )
    ),
    "seed": 3,
    "calibration_images": 5,
    "reference_images": 10,
    "reference_bytes": 3 << 20,
    "notes": ["calibration has 5 images; too few"],
    "threshold_interval": [0.25, 0.4],
    "pixel_threshold": 0.5,
    "pixel_threshold_interval": [0.45, 0.6],
}


def export_model(
    folder,
    resolution: int = RESOLUTION,
    sign: float = 1.0,
    broken: bool = False,
    description: dict | None = DESCRIPTION,
    **image,
) -> str:
    """Saves the model as the trainer would; returns its path."""
    module = BrightnessModel(ImageSpec(resolution, 1, **image), sign, broken)
    tf.saved_model.save(module, str(folder), signatures={"explain": module.explain})
    if description:
        settings = NetworkSettings(**description["networks"])
        write_weights(folder, build_networks(settings, ImageSpec(resolution, 1)))
        (folder / "assets.extra" / "model.json").write_text(json.dumps(description))
    return str(folder)


def write_weights(folder, networks: Networks) -> None:
    """Leaves the weights of networks in an exported model, as the trainer does."""
    checkpoint = stored_weights.as_checkpoint(**stored_weights.network_groups(networks, networks))
    path = folder / warm_start.EXPORTED_WEIGHTS
    path.parent.mkdir(parents=True)
    checkpoint.write(str(path))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_record(
    kind: str, index: int, split: str = "test", label: int | None = 0
) -> image_example.ImageRecord:
    """A dark image of noise; a defect is a bright square, large for "stain", too small to find for "dot"."""
    random = np.random.default_rng([index, *kind.encode()])
    pixels = random.integers(20, 70 + index, (RESOLUTION, RESOLUTION), np.uint8)
    mask = np.zeros_like(pixels)
    side = {"good": 0, "stain": 9, "dot": 2}[kind]
    mask[3 : 3 + side, 4 : 4 + side] = 255
    pixels = np.where(mask, 230, pixels).astype(np.uint8)
    return image_example.ImageRecord(
        image=_png(pixels),
        filename=f"{split}/{kind}/{index:03d}.png",
        format="png",
        height=RESOLUTION,
        width=RESOLUTION,
        channels=1,
        brightness=float(pixels.mean() / 255),
        contrast=0.1,
        sharpness=0.1,
        label=label,
        defect_type="" if label is None else kind,
        mask=_png(mask) if side else None,
    )


@pytest.fixture(scope="session")
def make():
    """The helpers of this file, as test files cannot import it."""

    class Helpers:
        resolution, threshold, description = RESOLUTION, THRESHOLD, DESCRIPTION
        export_model = staticmethod(export_model)
        record = staticmethod(make_record)
        write_weights = staticmethod(write_weights)

        @staticmethod
        def test_records() -> list[image_example.ImageRecord]:
            return [
                *(make_record("good", index) for index in range(8)),
                *(make_record("stain", index, label=1) for index in range(5)),
                *(make_record("dot", index, label=1) for index in range(4)),
            ]

    return Helpers


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> str:
    return export_model(tmp_path_factory.mktemp("models") / "bright")
