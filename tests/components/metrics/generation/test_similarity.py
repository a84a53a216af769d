"""MS-SSIM against scikit-image at one scale, a plain loop at several, and known values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from proganomaly.components.metrics.generation.similarity import ms_ssim, number_of_scales, ssim

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def pairs(seed: int, side: int, channels: int = 3, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    first = random.integers(0, 256, (count, side, side, channels)).astype(np.uint8)
    noise = random.normal(0, 40, first.shape)
    return first, (first + noise).clip(0, 255).astype(np.uint8)


def plain_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2003 for one pair, place by place."""
    side, terms = len(x), []
    scales = number_of_scales(side)
    for scale in range(scales):
        size = min(11, len(x))
        at = np.arange(size) - (size - 1) / 2
        kernel = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * (1.5 * size / 11) ** 2))
        kernel /= kernel.sum()
        contrasts, similarities = [], []
        for row in range(len(x) - size + 1):
            for column in range(len(x) - size + 1):
                for channel in range(x.shape[-1]):
                    a, b = (
                        image[row : row + size, column : column + size, channel].astype(float)
                        for image in (x, y)
                    )
                    mean_a, mean_b = (kernel * a).sum(), (kernel * b).sum()
                    covariance = (kernel * (a - mean_a) * (b - mean_b)).sum()
                    variances = (kernel * (a - mean_a) ** 2).sum() + (kernel * (b - mean_b) ** 2).sum()
                    contrast = (2 * covariance + 7.65**2) / (variances + 7.65**2)
                    luminance = (2 * mean_a * mean_b + 2.55**2) / (mean_a**2 + mean_b**2 + 2.55**2)
                    contrasts.append(contrast)
                    similarities.append(contrast * luminance)
        last = scale == scales - 1
        terms.append(max(np.mean(similarities if last else contrasts), 0))
        x, y = ((i[::2, ::2].astype(float) + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (x, y))
    return float(np.prod([t ** (w / sum(WEIGHTS[:scales])) for t, w in zip(terms, WEIGHTS, strict=False)]))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_scale_equals_scikit_image(channels):
    first, second = pairs(1, 32, channels)
    expected = [
        structural_similarity(
            x,
            y,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
        )
        for x, y in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(ssim(first.astype(float), second.astype(float))[0], expected, rtol=1e-9)


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (16, 3), (8, 2), (4, 1)])
def test_equals_the_plain_loop(side, channels):
    first, second = pairs(2, side, channels, count=2)
    expected = [plain_ms_ssim(x, y) for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(ms_ssim(first, second), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("side", "scales"), [(4, 1), (8, 1), (16, 2), (32, 3), (64, 4), (128, 5), (256, 5), (1024, 5)]
)
def test_scales_end_at_8_pixels_and_are_five_at_most(side, scales):
    assert number_of_scales(side) == scales


@given(seed=st.integers(0, 1000), side=st.sampled_from([4, 8, 32]), channels=st.integers(1, 4))
def test_values_are_shares_symmetric_and_1_for_equal_images(seed, side, channels):
    first, second = pairs(seed, side, channels)
    values = ms_ssim(first, second)
    assert np.all((values >= 0) & (values <= 1))
    np.testing.assert_allclose(values, ms_ssim(second, first))
    np.testing.assert_allclose(ms_ssim(first, first), 1)


def test_flat_images_differ_by_their_brightness_alone():
    first, second = np.full((1, 128, 128, 1), 50, np.uint8), np.full((1, 128, 128, 1), 100, np.uint8)
    luminance = (2 * 50 * 100 + 2.55**2) / (50**2 + 100**2 + 2.55**2)
    # Structure agrees at every scale; the coarsest one compares brightness.
    np.testing.assert_allclose(ms_ssim(first, second), luminance ** (0.1333 / sum(WEIGHTS)), rtol=1e-6)


def test_a_negative_is_not_alike_at_all():
    first, _ = pairs(3, 64)
    np.testing.assert_array_equal(ms_ssim(first, 255 - first), 0)
