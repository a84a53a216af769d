"""The report's pictures, as PNG files in memory."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import measure
from sklearn import metrics

from proganomaly.components.images.display import displayable
from proganomaly.components.records.image_example import ANOMALOUS, NORMAL

NORMAL_COLOUR, ANOMALOUS_COLOUR, THRESHOLD_COLOUR = "#3b7dd8", "#d1495b", "#222222"
_PANEL_SIDES = 160, 256  # least and largest side of a panel in pixels
_GAP = 4
_CONTOUR = (0, 255, 120)
_BINS = 40
_RARE = 0.999  # quantile of a map's pixels
_MOST_PIXELS = 2**24
_WIDE = 5  # thresholds up to which scores are drawn to scale
_TICKS = tuple(digit * 10.0**power for power in range(-3, 7) for digit in (1, 3))
_HEAT_ANCHORS = np.array(
    [[0, 0, 40], [90, 10, 110], [200, 40, 70], [250, 140, 20], [255, 245, 130]], np.float64
)


def roc_curve(labels: NDArray, scores: NDArray, threshold: float) -> bytes:
    """Draws the ROC curve with the operating point of the model's threshold.

    Args:
        labels: [N], 0 normal, 1 anomalous, both present.
        scores: [N] finite.
        threshold: Score above which an image is flagged.
    """
    false_positives, true_positives, _ = metrics.roc_curve(labels, scores)
    area = metrics.auc(false_positives, true_positives)
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle="--")
    axes.plot(false_positives, true_positives, color=NORMAL_COLOUR, linewidth=2, label=f"AUROC {area:.3f}")
    flagged = scores > threshold
    point = flagged[labels == NORMAL].mean(), flagged[labels == ANOMALOUS].mean()
    axes.plot(*point, "o", color=THRESHOLD_COLOUR, label=f"threshold: {point[1]:.0%} found at {point[0]:.0%}")
    axes.set(xlabel="false-positive rate", ylabel="recall", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right", frameon=False)
    return _to_png(figure, axes)


def score_histogram(
    labels: NDArray,
    scores: NDArray,
    threshold: float,
    interval: tuple[float, float] | None = None,
    anomalies: str = "anomalous",
) -> bytes:
    """Draws how the scores of normal and of anomalous images are distributed, with the threshold.

    Args:
        labels: [N], 0 normal, 1 anomalous, -1 unknown.
        scores: [N] finite.
        threshold: Score above which an image is flagged.
        interval: Confidence interval of the threshold; None where it is not known.
        anomalies: What the anomalous images are called.
    """
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    shown = np.append(scores, threshold)
    # Far above the threshold it matters little how far: such scores are drawn closer together.
    is_wide = 0 < _WIDE * threshold < scores.max()
    if is_wide:
        axes.set_xscale("asinh", linear_width=threshold)
        ticks = [sign * tick for tick in _TICKS if 3 * tick > threshold for sign in (-1, 1)]
        axes.set_xticks([tick for tick in (0, *ticks) if scores.min() <= tick <= scores.max()])
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:g}")
        edges = threshold * np.sinh(np.histogram_bin_edges(np.arcsinh(shown / threshold), bins=_BINS))
    else:
        axes.locator_params(axis="x", nbins=6)
        edges = np.histogram_bin_edges(shown, bins=_BINS)
    groups = (
        (NORMAL, NORMAL_COLOUR, "normal"),
        (ANOMALOUS, ANOMALOUS_COLOUR, anomalies),
        (-1, "#999999", "unknown"),
    )
    for label, colour, name in groups:
        own = scores[labels == label]
        if len(own):
            axes.hist(own, bins=edges.tolist(), color=colour, alpha=0.6, label=f"{name} ({len(own)})")
    axes.axvline(threshold, color=THRESHOLD_COLOUR, linewidth=1.5, label=f"threshold {threshold:.3g}")
    if interval:
        axes.axvspan(*interval, color=THRESHOLD_COLOUR, alpha=0.12, linewidth=0, label="its 95 % interval")
        # A wide interval must not squeeze the scores.
        axes.set_xlim(edges[0], edges[-1])
    axes.set(xlabel="score", ylabel="images")
    axes.legend(loc="upper right", frameon=False)
    return _to_png(figure, axes)


def two_histograms(title: str, histogram: Mapping[str, Sequence[float]]) -> bytes:
    """Draws how a feature is distributed in the newest span, over the reference.

    Args:
        title: What the feature is called.
        histogram: `edges` [K + 1], and the shares of images in each bin: `reference` [K], `new` [K].
    """
    figure = Figure(figsize=(3.2, 2.2), layout="constrained")
    axes = figure.subplots()
    for side, colour, name in (
        ("reference", NORMAL_COLOUR, "reference"),
        ("new", ANOMALOUS_COLOUR, "newest span"),
    ):
        axes.stairs(histogram[side], histogram["edges"], fill=True, color=colour, alpha=0.6, label=name)
    axes.locator_params(axis="x", nbins=5)
    axes.set(xlabel=title, ylabel="share of images")
    # Above the bars, wherever those are high.
    axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return _to_png(figure, axes)


def heat_range(maps: NDArray, labels: NDArray) -> tuple[float, float]:
    """Returns the map values to show as cold and as hot, the same for every image of a report.

    Cold is the middle of what normal images have; hot is twice as far from it as what one normal pixel in a
    thousand exceeds: normal images never glow, and faint defects are not lost beside strong ones. Where
    no image is normal, all images take their place.
    """
    rows = np.flatnonzero(labels == NORMAL) if (labels == NORMAL).any() else np.arange(len(maps))
    # Of a large set, a part that fits into memory, spread over it.
    step = max(1, len(rows) * maps[0].size // _MOST_PIXELS)
    cold, warm = (float(value) for value in np.quantile(maps[rows[::step]], (0.5, _RARE)))
    return cold, cold + max(2 * (warm - cold), 1e-12)


def strip(
    image: NDArray,
    reconstruction: NDArray,
    anomaly_map: NDArray,
    mask: NDArray | None,
    heat: tuple[float, float],
) -> bytes:
    """Draws an image's row: original, reconstruction, heatmap over the original, true defect outlined.

    Args:
        image: uint8 [R, R, C].
        reconstruction: uint8 [R, R, C].
        anomaly_map: float [R, R].
        mask: [R, R], not 0 where defective; None where it is not known.
        heat: See `heat_range`.
    """
    side = _panel_side(image.shape[0])
    original = _panel(image, side)
    hotness = np.asarray(
        Image.fromarray(_hotness(anomaly_map, heat).astype(np.float32)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
    )
    panels = [original, _panel(reconstruction, side), _overlay(original, hotness)]
    if mask is not None:
        panels.append(_outline(original, mask))
    gap = np.full((side, _GAP, 3), 255, np.uint8)
    row = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
    return _image_to_png(row)


def heatmap(
    image: NDArray[np.uint8], anomaly_map: NDArray, heat: tuple[float, float], longest: int = 2048
) -> bytes:
    """Draws a heatmap over a large image, pixel on pixel, or several pixels in one where it is huge.

    Args:
        image: uint8 [H, W, C].
        anomaly_map: float [H, W].
        heat: See `heat_range`.
        longest: Pixels of the picture's longer side, at most. Beyond it, boxes of pixels become one: their
            mean colour, but their highest heat, so that no small defect is averaged away.
    """
    shown = _to_rgb(image)
    factor = math.ceil(max(shown.shape[:2]) / longest)
    if factor > 1:
        shown = np.asarray(Image.fromarray(shown).reduce(factor))
        anomaly_map = measure.block_reduce(anomaly_map, factor, np.max, cval=float(anomaly_map.min()))
    return _image_to_png(_overlay(shown, _hotness(anomaly_map, heat)))


def _hotness(anomaly_map: NDArray, heat: tuple[float, float]) -> NDArray:
    """Scales a map so that cold is 0 and hot is 1."""
    return np.clip((anomaly_map - heat[0]) / (heat[1] - heat[0]), 0, 1)


def _panel_side(resolution: int) -> int:
    """Returns the side of a panel: small images grow by whole pixels, large ones shrink."""
    least, largest = _PANEL_SIDES
    return min(resolution * math.ceil(least / resolution), largest)


def _resize(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scales uint8 [R, R] or [R, R, 3] to a panel: sharp pixels when enlarged, averaged ones when reduced."""
    how = Image.Resampling.NEAREST if side >= pixels.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize((side, side), how))


def _panel(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Returns the image, of any number of channels, as RGB of the panel's size."""
    return _resize(_to_rgb(image), side)


def _to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the image, of any number of channels, as RGB."""
    shown = displayable(image)
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown


def _overlay(original: NDArray[np.uint8], hotness: NDArray) -> NDArray[np.uint8]:
    """Lays colours over the greyed original, the more opaque the hotter."""
    grey = original.mean(axis=2, keepdims=True).repeat(3, axis=2)
    anchors = np.linspace(0, 1, len(_HEAT_ANCHORS))
    heat = np.stack([np.interp(hotness, anchors, channel) for channel in _HEAT_ANCHORS.T], axis=2)
    opacity = 0.75 * hotness[:, :, np.newaxis]
    return np.rint(grey * (1 - opacity) + heat * opacity).astype(np.uint8)


def _outline(original: NDArray[np.uint8], mask: NDArray) -> NDArray[np.uint8]:
    """Draws the border of the mask, two pixels wide, just outside of the defect."""
    inside = _resize(np.where(mask > 0, 255, 0).astype(np.uint8), original.shape[0]) > 0
    border = ndimage.binary_dilation(inside, iterations=2) & ~inside
    outlined = original.copy()
    outlined[border] = _CONTOUR
    return outlined


def _image_to_png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _to_png(figure: Figure, axes: Axes) -> bytes:
    axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=140)
    return file.getvalue()
