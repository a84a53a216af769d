import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from proganomaly.components.errors import SettingsError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.settings import TRANSFORMS, NetworkSettings
from proganomaly.components.model.transforms import transform_counts, transformed

WIDTHS = {"fmap_base": 32, "fmap_max": 8, "latent_size": 4}
IMAGE = np.arange(8 * 8 * 2, dtype=np.uint8).reshape(8, 8, 2)


def _all_of(kind: str, image: np.ndarray = IMAGE) -> np.ndarray:
    count = transform_counts([kind])[0]
    return transformed(tf.constant(np.stack([image] * count)), [kind], tf.range(count)[:, None]).numpy()


def test_rotations_are_quarter_turns():
    for turns, turned in enumerate(_all_of("rotation")):
        np.testing.assert_array_equal(turned, np.rot90(IMAGE, turns))


def test_shifts_are_circular_and_a_quarter_of_the_side():
    rolled = {
        np.roll(IMAGE, (down, right), axis=(0, 1)).tobytes() for down in (-2, 0, 2) for right in (-2, 0, 2)
    }
    assert {shifted.tobytes() for shifted in _all_of("shift")} == rolled


def test_a_flip_turns_upside_down():
    np.testing.assert_array_equal(_all_of("flip"), [IMAGE, IMAGE[::-1]])


def test_a_jigsaw_puts_the_quarters_into_every_order():
    quarters = IMAGE.reshape(2, 4, 2, 4, 2).transpose(0, 2, 1, 3, 4).reshape(4, -1)
    orders = set()
    for puzzle in _all_of("jigsaw"):
        pieces = puzzle.reshape(2, 4, 2, 4, 2).transpose(0, 2, 1, 3, 4).reshape(4, -1)
        orders.add(tuple(int(np.flatnonzero((quarters == piece).all(axis=1))[0]) for piece in pieces))
    assert len(orders) == 24 and all(sorted(order) == [0, 1, 2, 3] for order in orders)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_first_one_leaves_the_image_as_it_is_and_all_differ(kind):
    images = _all_of(kind)
    np.testing.assert_array_equal(images[0], IMAGE)
    assert len({image.tobytes() for image in images}) == len(images)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_image_is_transformed_by_its_own_choices_and_keeps_its_pixels(data):
    counts = transform_counts(TRANSFORMS)
    choices = np.array(
        [[data.draw(st.integers(0, count - 1)) for count in counts] for _ in range(3)], np.int32
    )
    images = np.stack([IMAGE, IMAGE[::-1] + 1, IMAGE // 2])
    together = transformed(tf.constant(images), TRANSFORMS, tf.constant(choices)).numpy()
    for row in range(3):
        alone = transformed(
            tf.constant(images[row : row + 1]), TRANSFORMS, tf.constant(choices[row : row + 1])
        )
        np.testing.assert_array_equal(together[row], alone.numpy()[0])
        assert sorted(together[row].ravel()) == sorted(images[row].ravel())


@pytest.mark.option("networks.transforms")
def test_the_head_has_logits_for_every_kind_and_changes_no_other_weight():
    plain = NetworkSettings(**WIDTHS)
    with_head = NetworkSettings(**WIDTHS, transforms=("rotation", "shift"))
    networks = []
    for chosen in (plain, with_head):
        keras.utils.set_random_seed(3)
        networks.append(build_networks(chosen, ImageSpec(8, 2)).discriminator)
    images = tf.random.stateless_normal([3, 8, 8, 2], [0, 1])
    assert (networks[0].transform_count, networks[1].transform_count) == (0, 13)
    assert networks[1].transform_logits(images).shape == [3, 13]
    np.testing.assert_array_equal(networks[0](images), networks[1](images))


@pytest.mark.parametrize("transforms", [("turn",), ("flip", "flip")])
def test_unknown_and_repeated_kinds_are_refused(transforms):
    with pytest.raises(SettingsError, match="transforms must"):
        NetworkSettings(transforms=transforms)


def test_the_critic_alone_scores_as_in_a_batch_whose_statistic_it_is_given():
    discriminator = build_networks(NetworkSettings(**WIDTHS), ImageSpec(8, 2)).discriminator
    images = tf.random.stateless_normal([4, 8, 8, 2], [0, 1])
    statistic = discriminator.statistic_of(discriminator.trunk(images))  # four images are one group
    alone = [discriminator.score_of(discriminator.trunk(image[None]), statistic)[0] for image in images]
    np.testing.assert_allclose(alone, discriminator(images), rtol=1e-5, atol=1e-6)
