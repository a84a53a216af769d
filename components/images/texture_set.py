"""A data set of surfaces with defects, cropped from one photograph and laid out like MVTec AD.

Train, calibration and test crops come from regions of the photograph that share no pixel.

Source of the layout: Bergmann et al. 2019, "MVTec AD". The photographs come with scikit-image (CC0).
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from proganomaly.components.errors import SettingsError, check_choice, check_range
from proganomaly.components.images import defects
from proganomaly.components.images.defects import Float, Mask

TEXTURES = ("brick", "grass", "gravel")
_SIDE = 512  # of every photograph
_GAP = 8
# What the blend takes from elsewhere: the photograph that looks least like the surface.
_OTHER_TEXTURE = {"brick": "gravel", "grass": "brick", "gravel": "brick"}
# Every picture is lit and exposed a little differently, and the sensor is noisy.
_GAIN = (0.92, 1.08)
_OFFSET = 0.03
_NOISE = 0.01


@dataclasses.dataclass(frozen=True)
class TextureSettings:
    """What `texture_images` makes.

    Attributes:
        texture: The photograph: "brick", "grass" or "gravel".
        crop_size: Side of the images in pixels.
        train_images: Normal images for training.
        calibration_images: Normal images for thresholds.
        test_good_images: Normal images for testing.
        images_per_defect: Defective images for testing, of each of the five kinds.
        seed: Equal seeds make equal images.
    """

    texture: str = "brick"
    crop_size: int = 128
    train_images: int = 120
    calibration_images: int = 40
    test_good_images: int = 40
    images_per_defect: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("texture", self.texture, TEXTURES)
        check_range("crop size", self.crop_size, 16, largest_crop())
        for name in ("train_images", "calibration_images", "test_good_images", "images_per_defect"):
            check_range(name.replace("_", " "), getattr(self, name), minimum=1)
        if self.seed < 0:
            raise SettingsError(f"seed must be at least 0; received {self.seed}")


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of the photograph in pixels; `bottom` and `right` are one past its end."""

    top: int
    left: int
    bottom: int
    right: int


def regions(crop_size: int) -> dict[str, tuple[Region, ...]]:
    """Divides the photograph: most columns are for training, a strip is for calibration and test.

    Calibration takes both ends of the strip and test its middle, so that a photograph whose scale or light
    changes along the strip gives both the same mixture: a threshold from the one must hold for the other.
    """
    end = _with_freedom(crop_size)
    left = _SIDE - max(end, round(0.28 * _SIDE))
    return {
        "train": (Region(0, 0, _SIDE, left - _GAP),),
        "calibration": (Region(0, left, end, _SIDE), Region(_SIDE - end, left, _SIDE, _SIDE)),
        "test": (Region(end + _GAP, left, _SIDE - end - _GAP, _SIDE),),
    }


def largest_crop() -> int:
    """Returns the largest crop that leaves every region some freedom."""
    return max(size for size in range(16, _SIDE) if 3 * _with_freedom(size) + 2 * _GAP <= _SIDE)


def texture_images(settings: TextureSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Makes the data set, one file after another.

    Yields:
        Path relative to the data set's root, uint8 image [crop_size, crop_size]; the mask of a defective
        image follows it, 255 where defective.
    """
    photograph = _photograph(settings.texture)
    areas = regions(settings.crop_size)
    for split, number, folder in (
        ("train", settings.train_images, "train/good"),
        ("calibration", settings.calibration_images, "calibration/good"),
        ("test", settings.test_good_images, "test/good"),
    ):
        for index in range(number):
            rng = _generator(settings.seed, folder, index)
            crop = _crop(photograph, areas[split], settings.crop_size, rng)
            yield f"{folder}/{index:03d}.png", _expose(crop, rng)
    for name, make in _kinds(settings.texture).items():
        for index in range(settings.images_per_defect):
            rng = _generator(settings.seed, name, index)
            crop = _crop(photograph, areas["test"], settings.crop_size, rng)
            image, mask = make(crop, rng)
            yield f"test/{name}/{index:03d}.png", _expose(image, rng)
            yield f"ground_truth/{name}/{index:03d}_mask.png", mask.astype(np.uint8) * 255


def _kinds(texture: str) -> dict[str, Callable[[Float, np.random.Generator], tuple[Float, Mask]]]:
    """The kinds of defects by the name of their folder."""
    other = _photograph(_OTHER_TEXTURE[texture])
    return {
        "scratch": defects.scratch,
        "stain": defects.stain,
        "cut": defects.cut,
        "cutpaste": defects.cut_paste,
        "blend": functools.partial(defects.perlin_blend, photograph=other),
    }


def _with_freedom(crop_size: int) -> int:
    return crop_size + crop_size // 8


def _photograph(texture: str) -> Float:
    # Imported here: settings of data sets are also read where no image is made.
    from skimage import data

    return getattr(data, texture)() / 255.0


def _generator(seed: int, folder: str, index: int) -> np.random.Generator:
    """One generator per image, so that the number of images changes none of them."""
    return np.random.default_rng([seed, zlib.crc32(folder.encode()), index])


def _crop(photograph: Float, areas: tuple[Region, ...], size: int, rng: np.random.Generator) -> Float:
    """Cuts a square out of one of the areas, and mirrors every other one: twice the views of the surface."""
    area = areas[rng.integers(len(areas))]
    top = int(rng.integers(area.top, area.bottom - size + 1))
    left = int(rng.integers(area.left, area.right - size + 1))
    crop = photograph[top : top + size, left : left + size]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _expose(image: Float, rng: np.random.Generator) -> np.ndarray:
    """Takes the picture: light, exposure and sensor noise, in 8 bits."""
    lit = image * rng.uniform(*_GAIN) + rng.uniform(-_OFFSET, _OFFSET)
    noisy = lit + rng.normal(0, _NOISE, image.shape)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
