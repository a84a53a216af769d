"""The texture data set: regions apart, counts, layout, seeds."""

import numpy as np
import pytest

from proganomaly.components.errors import SettingsError
from proganomaly.components.images import texture_set
from proganomaly.components.images.texture_set import TextureSettings

SMALL = TextureSettings(
    crop_size=32, train_images=4, calibration_images=3, test_good_images=2, images_per_defect=2
)


@pytest.mark.parametrize("crop_size", [16, 32, 100, 128, texture_set.largest_crop()])
def test_regions_share_no_pixel_and_hold_the_crops(crop_size):
    owner = np.zeros((512, 512), int)
    for areas in texture_set.regions(crop_size).values():
        for area in areas:
            owner[area.top : area.bottom, area.left : area.right] += 1
            assert area.bottom - area.top > crop_size
            assert area.right - area.left > crop_size
            assert 0 <= area.top < area.bottom <= 512 and 0 <= area.left < area.right <= 512
    assert owner.max() == 1


def test_most_columns_are_for_training():
    (train,) = texture_set.regions(128)["train"]
    assert train.bottom - train.top == 512
    assert train.right - train.left > 0.6 * 512


def test_layout_counts_and_masks():
    images = dict(texture_set.texture_images(SMALL))
    kinds = ("scratch", "stain", "cut", "cutpaste", "blend")
    expected = {f"train/good/{i:03d}.png" for i in range(4)}
    expected |= {f"calibration/good/{i:03d}.png" for i in range(3)}
    expected |= {f"test/good/{i:03d}.png" for i in range(2)}
    expected |= {f"test/{kind}/{i:03d}.png" for kind in kinds for i in range(2)}
    expected |= {f"ground_truth/{kind}/{i:03d}_mask.png" for kind in kinds for i in range(2)}
    assert set(images) == expected
    for path, image in images.items():
        assert image.dtype == np.uint8 and image.shape == (32, 32)
        if path.startswith("ground_truth"):
            assert set(np.unique(image)) == {0, 255}


def test_images_depend_on_their_seed_and_place_alone():
    first = dict(texture_set.texture_images(SMALL))
    more = TextureSettings(**{**vars(SMALL), "train_images": 6, "images_per_defect": 3})
    second = dict(texture_set.texture_images(more))
    other = dict(texture_set.texture_images(TextureSettings(**{**vars(SMALL), "seed": 1})))
    for path, image in first.items():
        np.testing.assert_array_equal(second[path], image)
    assert not any(np.array_equal(other[path], image) for path, image in first.items())


@pytest.mark.parametrize("texture", texture_set.TEXTURES)
def test_every_photograph_has_the_size_that_the_regions_assume(texture):
    assert texture_set._photograph(texture).shape == (512, 512)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texture": "wood"}, "texture must be one of brick, grass, gravel; received 'wood'"),
        ({"crop_size": 300}, "crop size must be at least 16 and at most 147; received 300"),
        ({"train_images": 0}, "train images must be at least 1; received 0"),
        ({"seed": -1}, "seed must be at least 0; received -1"),
    ],
)
def test_impossible_settings(change, message):
    with pytest.raises(SettingsError) as caught:
        TextureSettings(**change)
    assert str(caught.value) == message
