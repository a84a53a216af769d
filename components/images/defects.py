"""Synthetic defects with exact masks: what can go wrong with a surface, drawn onto a normal image.

Every function takes a float image [height, width] or [height, width, channels] in [0, 1] and a random
generator, and returns the defective image and its mask, bool [height, width]. Inputs stay as they are. Sizes
are relative to the image's shorter side; about 2 % of the pixels become defective.

Sources: Li et al. 2021, "CutPaste" (cut-and-paste); Zavrtanik et al. 2021, "DRAEM" (the Perlin blend).
"""

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_SUPERSAMPLING = 4
# A pixel belongs to the defect where at least this share of it is covered: about what the eye sees.
_VISIBLE = 0.3


def scratch(image: Float, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Draws a thin, bent, anti-aliased line that is brighter or darker than what it crosses."""
    height, width = image.shape[:2]
    side = min(height, width)
    steps = 6
    heading = rng.uniform(0, np.pi) + np.cumsum(rng.normal(0, 0.2, steps))
    length = rng.uniform(0.6, 1.0) * side
    track = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / steps, axis=0)
    centre = rng.uniform(0.35, 0.65, 2) * (width, height)
    points = track - track.mean(axis=0) + centre
    thickness = rng.uniform(0.015, 0.026) * side
    cover = _draw(height, width, lambda pen: pen.line(_path(points), 255, _pen_width(thickness), "curve"))
    shade = rng.choice([-1.0, 1.0]) * rng.uniform(0.25, 0.45)
    # A scratch towards the side that has room: white on white would be no defect.
    if np.mean(image) + shade > 0.95 or np.mean(image) + shade < 0.05:
        shade = -shade
    return _clip(image + shade * _like(cover, image)), cover >= _VISIBLE


def stain(image: Float, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Darkens or brightens a soft, irregular blob; the texture stays visible through it."""
    height, width = image.shape[:2]
    radius = rng.uniform(0.065, 0.1) * min(height, width)
    distance, _ = _blob(height, width, radius, rng, wobble=0.35)
    cover = 1 / (1 + np.exp((distance - 1) * 6))
    factor = rng.uniform(0.45, 0.7) if rng.random() < 0.7 else rng.uniform(1.3, 1.5)
    return _clip(image * (1 + (factor - 1) * _like(cover, image))), cover >= 0.4


def cut(image: Float, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Opens a dark, elongated hole with a bright, uneven rim."""
    height, width = image.shape[:2]
    side = min(height, width)
    radius = rng.uniform(0.055, 0.085) * side
    distance, local_radius = _blob(height, width, radius, rng, wobble=0.2, stretch=rng.uniform(1.6, 2.8))
    pixels = (distance - 1) * local_radius
    rim_width = rng.uniform(0.012, 0.02) * side
    hole = np.clip(0.5 - pixels, 0, 1)
    rim = np.clip(0.5 - (pixels - rim_width), 0, 1) - hole
    glow = rng.uniform(0.25, 0.45) * rim * (0.6 + 0.4 * _smooth_noise((height, width), side / 16, rng))
    depth = rng.uniform(0.03, 0.15)
    opened = image * (1 - _like(hole, image)) + depth * _like(hole, image)
    return _clip(opened + _like(glow, image)), hole + rim >= _VISIBLE


def cut_paste(image: Float, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Pastes a rotated rectangle of the image elsewhere; of several places takes the least fitting one.

    Where the patch happens to look like what it covers there is nothing to see: the mask leaves that out.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    best, best_change = (image, np.zeros((height, width), bool)), -1.0
    for _ in range(8):
        turned = ndimage.rotate(image, rng.uniform(30, 150), reshape=False, order=1, mode="reflect")
        shift = rng.uniform(-0.3, 0.3, 2) * side
        source = ndimage.shift(turned, [*shift, *[0] * (image.ndim - 2)], order=1, mode="reflect")
        half = rng.uniform(0.065, 0.11, 2) * side
        centre = rng.uniform(0.2, 0.8, 2) * (width, height)
        angle = rng.uniform(0, np.pi)
        axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        corners = centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ axes
        cover = _draw(height, width, functools.partial(_fill, corners=corners))
        pasted = image + (source - image) * _like(cover, image)
        change = np.abs(pasted - image).reshape(height, width, -1).max(axis=2)
        if change.sum() > best_change:
            seen = ndimage.binary_closing(change > 0.04, iterations=3) & (cover >= _VISIBLE)
            mask = _without_specks(seen, smallest=0.002 * height * width)
            best, best_change = (_clip(pasted), mask), change.sum()
    return best


def perlin_blend(
    image: Float, rng: np.random.Generator, photograph: Float | None = None
) -> tuple[Float, Mask]:
    """Blends in another photograph where Perlin noise is highest.

    Args:
        image: The normal image.
        rng: Source of all chance.
        photograph: Float grey image in [0, 1], at least as large as `image`; without one, the image itself
            upside down and inverted.
    """
    height, width = image.shape[:2]
    noise = perlin_noise(height, width, cells=int(rng.integers(4, 7)), rng=rng)
    cover = noise >= np.quantile(noise, 1 - rng.uniform(0.02, 0.04))
    cover = _without_specks(cover, smallest=0.002 * height * width)
    if photograph is None:
        other = 1 - image[::-1, ::-1]
    else:
        top = int(rng.integers(0, photograph.shape[0] - height + 1))
        left = int(rng.integers(0, photograph.shape[1] - width + 1))
        other = _like(photograph[top : top + height, left : left + width], image)
    opacity = rng.uniform(0.6, 0.9)
    soft = _like(ndimage.gaussian_filter(cover.astype(float), 0.6), image)
    return _clip(image + opacity * soft * (other - image)), cover


def perlin_noise(height: int, width: int, cells: int, rng: np.random.Generator) -> Float:
    """Returns gradient noise [height, width], about in [-1, 1], with `cells` x `cells` random gradients.

    Source: Perlin 2002, "Improving Noise" (the quintic fade), with random unit gradients.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    y, x = np.meshgrid(
        np.linspace(0, cells, height, endpoint=False),
        np.linspace(0, cells, width, endpoint=False),
        indexing="ij",
    )
    row, column = y.astype(int), x.astype(int)
    y, x = y - row, x - column

    def corner(down: int, right: int) -> Float:
        angle = angles[row + down, column + right]
        return np.sin(angle) * (y - down) + np.cos(angle) * (x - right)

    fade_y, fade_x = (t**3 * (t * (6 * t - 15) + 10) for t in (y, x))
    upper = corner(0, 0) * (1 - fade_x) + corner(0, 1) * fade_x
    lower = corner(1, 0) * (1 - fade_x) + corner(1, 1) * fade_x
    return np.sqrt(2) * (upper * (1 - fade_y) + lower * fade_y)


def _blob(
    height: int, width: int, radius: float, rng: np.random.Generator, wobble: float, stretch: float = 1.0
) -> tuple[Float, Float]:
    """Lays an irregular blob somewhere: an ellipse whose radius wavers with the angle by `wobble`.

    `radius` is the ellipse's mean one in pixels, `stretch` the ratio of its axes.

    Returns:
        Per pixel [height, width]: the distance from the blob's centre as a fraction of the outline's distance
        in that direction, and the outline's distance in pixels.
    """
    centre_y, centre_x = rng.uniform(0.2, 0.8, 2) * (height, width)
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    along = (x - centre_x) * np.cos(turn) + (y - centre_y) * np.sin(turn)
    across = -(x - centre_x) * np.sin(turn) + (y - centre_y) * np.cos(turn)
    angle = np.arctan2(across, along)
    waves = sum(
        rng.uniform(-wobble, wobble) / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        for order in (2, 3, 4, 5)
    )
    ellipse = 1 / np.sqrt(np.cos(angle) ** 2 / stretch + np.sin(angle) ** 2 * stretch)
    outline = radius * ellipse * np.clip(1 + waves, 0.4, None)
    return np.hypot(along, across) / outline, outline


def _draw(height: int, width: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> Float:
    """Draws on a finer canvas and returns how much of every pixel is covered, [height, width] in [0, 1]."""
    canvas = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas.reduce(_SUPERSAMPLING), np.float64) / 255


def _fill(pen: ImageDraw.ImageDraw, corners: Float) -> None:
    pen.polygon(_path(corners), 255)


def _path(points: Float) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points * _SUPERSAMPLING]


def _pen_width(thickness: float) -> int:
    return max(round(thickness * _SUPERSAMPLING), _SUPERSAMPLING)


def _smooth_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Float:
    """Noise in [-1, 1] whose features are about `scale` pixels wide."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), scale, mode="wrap")
    return noise / np.abs(noise).max()


def _without_specks(cover: Mask, smallest: float) -> Mask:
    """Removes connected regions of fewer than `smallest` pixels, but never the largest one."""
    regions, number = ndimage.label(cover)
    sizes = ndimage.sum_labels(cover, regions, index=np.arange(1, number + 1))
    kept = np.flatnonzero((sizes >= smallest) | (sizes == sizes.max(initial=0))) + 1
    return np.isin(regions, kept)


def _like(values: Float, image: Float) -> Float:
    """Gives [height, width] values a channel axis where the image has one."""
    return values if image.ndim == 2 else values[:, :, np.newaxis]


def _clip(image: Float) -> Float:
    return np.clip(image, 0.0, 1.0)
