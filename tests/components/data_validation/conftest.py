"""Index entries of real crops of a photograph of brick, under a lamp of choice."""

import dataclasses

import numpy as np
import pytest
import skimage.data
from PIL import Image

from proganomaly.components.images.features import measure
from proganomaly.components.images.near_identical import thumbnail, to_text
from proganomaly.components.records.image_index import IndexEntry

SIDE = 64


def crops(number: int, seed: int, lamp: float = 1.0, blur: bool = False) -> list[np.ndarray]:
    """Random crops of scikit-image's brick, each under a light of its own (sd 5 %), times `lamp`."""
    random = np.random.default_rng(seed)
    photograph = skimage.data.brick()
    pixels = []
    for _ in range(number):
        top, left = random.integers(0, 512 - SIDE, 2)
        crop = photograph[top : top + SIDE, left : left + SIDE]
        if blur:
            crop = np.asarray(Image.fromarray(crop).reduce(3).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        lit = crop * (lamp * np.exp(random.normal(0, 0.05)))
        pixels.append(np.clip(np.rint(lit), 0, 255).astype(np.uint8)[..., np.newaxis])
    return pixels


def entry(pixels: np.ndarray, span: int, number: int, **changed) -> IndexEntry:
    """What ingestion notes of an image."""
    features = measure(pixels)
    noted = IndexEntry(
        path=f"span-{span}/{number:05d}.png",
        span=span,
        split="train",
        label=0,
        defect_type="good",
        group="",
        format="png",
        height=pixels.shape[0],
        width=pixels.shape[1],
        channels=pixels.shape[2],
        brightness=features.brightness,
        contrast=features.contrast,
        sharpness=features.sharpness,
        digest=f"{span} {number}",
        thumbnail=to_text(thumbnail(pixels)),
    )
    return dataclasses.replace(noted, **changed)


@pytest.fixture(scope="session")
def make():
    """The helpers of this file, as test files cannot import it."""

    class Helpers:
        crops = staticmethod(crops)
        entry = staticmethod(entry)

        @staticmethod
        def entries(number, span, seed, lamp=1.0, blur=False, **changed) -> list[IndexEntry]:
            return [
                entry(pixels, span, i, **changed) for i, pixels in enumerate(crops(number, seed, lamp, blur))
            ]

    return Helpers
