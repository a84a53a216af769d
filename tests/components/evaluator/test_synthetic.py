"""Synthetic defects: what is drawn, onto which images, and that nothing is there twice."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.evaluator.synthetic import with_synthetic_defects
from proganomaly.components.images.spec import ImageSpec

SPEC = ImageSpec(32, 1)
KINDS = {f"synthetic-{kind}" for kind in ("blend", "cut", "cutpaste", "scratch", "stain")}


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def normals(make):
    """Twelve images of noise, 64 pixels wide: the networks see them at half the size."""
    random = np.random.default_rng(0)
    return [
        dataclasses.replace(
            make.record("good", index), image=_png(random.integers(60, 180, (64, 64), np.uint8)), width=64
        )
        for index in range(12)
    ]


@pytest.fixture(scope="module")
def made(normals):
    return with_synthetic_defects(normals, SPEC, 4, seed=3)


def test_no_image_is_there_with_and_without_a_defect(made, normals):
    kept = [record for record in made if record.label == 0]
    assert [record for record in normals if record in kept] == kept
    sources = {record.filename.partition("/")[2] for record in made if record.label == 1}
    assert len(kept) == 6 and sources.isdisjoint(record.filename for record in kept)
    assert {record.defect_type for record in made if record.label == 1} == KINDS
    assert len({record.filename for record in made}) == len(made) == 6 + 4 * len(KINDS)


def test_only_the_mask_is_damaged(made, normals):
    by_name = {record.filename: record for record in normals}
    for record in (record for record in made if record.label == 1):
        kind, _, name = record.filename.partition("/")
        assert kind == record.defect_type
        original = _pixels(by_name[name].image).reshape(32, 2, 32, 2).mean(axis=(1, 3))
        change = np.abs(_pixels(record.image) - np.rint(original))
        mask = _pixels(record.mask) > 0
        assert (record.height, record.width, record.channels) == (32, 32, 1) == (*change.shape, 1)
        assert 0 < mask.mean() < 0.2
        assert change[mask].mean() > 5 * change[~mask].mean()


def test_equal_seeds_make_equal_images_in_any_order(made, normals):
    again = with_synthetic_defects(normals[::-1], SPEC, 4, seed=3)
    assert sorted(again, key=lambda one: one.filename) == sorted(made, key=lambda one: one.filename)
    other = with_synthetic_defects(normals, SPEC, 4, seed=4)
    assert {one.filename for one in other} != {one.filename for one in made}


def test_with_enough_images_each_carries_one_defect(normals):
    made = with_synthetic_defects(normals, SPEC, 1, seed=0)
    sources = [record.filename.partition("/")[2] for record in made if record.label == 1]
    assert len(sources) == len(set(sources)) == 5
    assert len(made) == 12


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_images_stay_as_they_are(normals, number):
    assert with_synthetic_defects(normals[:number], SPEC, 4, seed=0) == normals[:number]


def test_a_kind_that_leaves_no_trace_is_left_out(normals):
    uniform = _png(np.full((32, 32), 128, np.uint8))
    made = with_synthetic_defects(
        [dataclasses.replace(record, image=uniform) for record in normals], SPEC, 2, seed=0
    )
    assert {record.defect_type for record in made if record.label == 1} == KINDS - {
        "synthetic-cutpaste",
        "synthetic-blend",
    }


def test_alpha_stays(normals):
    random = np.random.default_rng(1)
    pixels = random.integers(60, 180, (32, 32, 4), np.uint8)
    images = [dataclasses.replace(record, image=_png(pixels)) for record in normals]
    made = with_synthetic_defects(images, ImageSpec(32, 4), 1, seed=0)
    damaged = [_pixels(record.image) for record in made if record.label == 1]
    assert len(damaged) == 5
    for image in damaged:
        np.testing.assert_array_equal(image[:, :, 3], pixels[:, :, 3])
        assert (image[:, :, :3] != pixels[:, :, :3]).any()


@pytest.mark.parametrize("resolution", [4, 8, 256])
def test_defects_at_any_resolution(normals, resolution):
    made = with_synthetic_defects(normals, ImageSpec(resolution, 3), 1, seed=0)
    masks = [_pixels(record.mask) for record in made if record.label == 1]
    assert len(masks) >= 3
    assert all(mask.shape == (resolution, resolution) and mask.any() for mask in masks)
