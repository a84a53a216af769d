"""Pictures: where each image goes, and what is on the way between two latents."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import Networks, build_networks, to_network_range
from proganomaly.components.model.settings import NetworkSettings
from proganomaly.components.trainer.pictures import (
    interpolation_picture,
    reconstruction_picture,
    sample_picture,
    spherical_interpolation,
    tiled,
)


class FlatGenerator:
    """Paints an image in the first number of its latent, as alpha weighs it."""

    latent_size, label_count = 2, 0

    def __call__(self, codes, resolution, alpha=None):
        weight = 1.0 if alpha is None else alpha
        return tf.ones([len(codes), resolution, resolution, 1]) * codes[:, :1, None, None] * weight


def test_images_are_tiled_row_by_row_and_enlarged():
    random = np.random.default_rng(0)
    rows = [random.integers(0, 255, (3, 4, 4, 3), dtype=np.uint8) for _ in range(2)]
    picture = tiled(rows)
    assert picture.shape == (2 * 66 - 2, 3 * 66 - 2, 3)
    shown = np.zeros(picture.shape, bool)
    for row in range(2):
        for column in range(3):
            place = np.s_[row * 66 : row * 66 + 64, column * 66 : column * 66 + 64]
            np.testing.assert_array_equal(
                picture[place], np.kron(rows[row][column], np.ones((16, 16, 1), np.uint8))
            )
            shown[place] = True
    assert (picture[~shown] == 255).all()


@pytest.mark.parametrize("side, shown", [(4, 64), (32, 64), (64, 64), (128, 128)])
def test_only_small_images_are_enlarged(side, shown):
    assert tiled([np.zeros((2, side, side, 1), np.uint8)]).shape == (shown, 2 * shown + 2, 1)


def test_samples_have_the_fixed_latents_above_the_fresh_ones():
    fixed, fresh = tf.constant([[0.0, 0], [1.0, 0]]), tf.constant([[-1.0, 0], [0.0, 0]])
    picture = sample_picture(FlatGenerator(), fixed, fresh, 4, None)
    np.testing.assert_array_equal(picture[::66, ::66, 0], [[128, 255], [0, 128]])
    faint = sample_picture(FlatGenerator(), fixed, fresh, 4, tf.constant(0.0))
    np.testing.assert_array_equal(faint[::66, ::66, 0], [[128, 128], [128, 128]])


def test_an_interpolation_begins_and_ends_at_its_latents():
    picture = interpolation_picture(FlatGenerator(), tf.constant([[1.0, 0], [-1.0, 1e-3]]), 5, 4, None)
    assert picture.shape == (64, 5 * 66 - 2, 1)
    # The cosine of 0, 45, ... 180 degrees.
    expected = np.rint((np.cos(np.linspace(0, np.pi, 5)) + 1) * 127.5)
    np.testing.assert_allclose(picture[0, ::66, 0].astype(float), expected, atol=1)


def test_the_way_between_latents_has_equal_angles_and_stays_on_the_sphere():
    start, end = np.random.default_rng(0).normal(size=(2, 16))
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    way = spherical_interpolation(tf.constant(start, tf.float32), tf.constant(end, tf.float32), 7).numpy()
    np.testing.assert_allclose(way[[0, -1]], [start, end], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), np.linalg.norm(start), rtol=1e-4)
    cosines = (way[1:] * way[:-1]).sum(axis=1) / np.linalg.norm(start) ** 2
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-3)


@pytest.mark.parametrize("end", [[1.0, 2.0], [-1.0, -2.0], [2.0, 4.0]])
def test_latents_in_one_line_give_finite_images(end):
    way = spherical_interpolation(tf.constant([1.0, 2.0]), tf.constant(end), 4)
    assert np.isfinite(way).all()
    assert np.isfinite(spherical_interpolation(tf.constant([1.0]), tf.constant([-2.0]), 1)).all()


def test_reconstructions_stand_between_originals_and_what_differs():
    originals = np.array([0, 128, 255], np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)

    def encoder(images, alpha=None):
        # Half as much as there is.
        return tf.reduce_mean(images, axis=(1, 2)) / 2

    networks = Networks(FlatGenerator(), None, encoder)
    picture = reconstruction_picture(networks, originals, None)
    assert picture.shape == (3 * 66 - 2, 3 * 66 - 2, 1)
    np.testing.assert_array_equal(picture[:64, ::66, 0], np.tile([0, 128, 255], (64, 1)))
    halves = (to_network_range(np.array([0, 128, 255])).numpy() / 2 + 1) * 127.5
    np.testing.assert_allclose(picture[66, ::66, 0], halves, atol=1)
    np.testing.assert_allclose(picture[132, ::66, 0], np.abs([0, 128, 255] - halves), atol=1)


@pytest.mark.parametrize("channels, shown", [(1, 1), (2, 1), (3, 3), (4, 3), (7, 3)])
def test_pictures_of_any_number_of_channels(channels, shown):
    networks = build_networks(
        NetworkSettings(fmap_base=16, fmap_max=4, latent_size=4), ImageSpec(8, channels)
    )
    originals = np.random.default_rng(0).integers(0, 256, (2, 8, 8, channels), dtype=np.uint8)
    picture = reconstruction_picture(networks, originals, None)
    assert picture.shape == (3 * 66 - 2, 2 * 66 - 2, shown)
    first = [picture[row * 66 : row * 66 + 64 : 8, :64:8].astype(int) for row in range(3)]
    np.testing.assert_array_equal(first[2], abs(first[0] - first[1]))
    samples = sample_picture(networks.generator, tf.ones([2, 4]), tf.ones([2, 4]), 8, None)
    assert samples.shape == (2 * 66 - 2, 2 * 66 - 2, shown)
