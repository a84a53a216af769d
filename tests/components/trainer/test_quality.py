"""The generator's measures: taken on the images they should be taken on, and the same every time."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.metrics.generation.features import frechet_distance
from proganomaly.components.metrics.generation.similarity import ms_ssim
from proganomaly.components.metrics.generation.sliced_wasserstein import image_distances
from proganomaly.components.model.networks import build_networks, to_network_range, to_uint8
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.components.trainer.quality import check_measures, measure_generator
from proganomaly.components.trainer.settings import LoggingSettings


@pytest.fixture(scope="module")
def networks(tiny):
    keras.utils.set_random_seed(4)
    return build_networks(tiny.networks, ImageSpec(8, 1))


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory):
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("pyramid"), tiny.make_images(40)))


@pytest.mark.option("logging.metric_images")
def test_measures_are_those_of_the_first_images_and_as_many_generated_ones(networks, source):
    settings = LoggingSettings(metrics=("swd", "ms_ssim"), metric_images=20)
    measured = measure_generator(networks, source, 8, settings, seed=7)
    latents = tf.random.stateless_normal([20, networks.generator.latent_size], [7, 0])
    generated = to_uint8(networks.generator(latents, resolution=8)).numpy()
    real = np.concatenate(list(source.batches(8)))[:20]
    assert measured == {
        "quality/swd_8": (expected := image_distances(real, generated, seed=7)[8]),
        "quality/swd": expected,
        "quality/ms_ssim": pytest.approx(ms_ssim(generated[:10], generated[10:]).mean()),
    }


def test_equal_arguments_give_equal_values_and_another_seed_gives_others(networks, source):
    settings = LoggingSettings(metrics=("swd", "ms_ssim"))
    first, again, other = (measure_generator(networks, source, 8, settings, seed) for seed in (1, 1, 2))
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_a_metric_that_is_not_asked_for_is_not_taken(networks, source):
    assert measure_generator(networks, source, 8, LoggingSettings(), seed=1) == {}
    only = measure_generator(networks, source, 4, LoggingSettings(metrics=("swd",)), seed=1)
    assert list(only) == ["quality/swd_4", "quality/swd"]


@pytest.mark.option("logging.feature_extractor")
def test_features_are_the_discriminators_unless_a_file_is_named(networks, source, tmp_path):
    wanted = ("frechet", "kid", "precision_recall")
    own = measure_generator(networks, source, 8, LoggingSettings(metrics=wanted), seed=3)
    names = ["frechet", "kid", "precision", "recall"]
    assert list(own) == [f"quality/{name}[discriminator]" for name in names]

    real = np.concatenate(list(source.batches(8)))
    latents = [
        tf.random.stateless_normal([count, networks.generator.latent_size], [3, start])
        for start, count in ((0, 32), (32, 8))
    ]
    generated = to_uint8(networks.generator(tf.concat(latents, 0), resolution=8))
    features = [
        tf.reduce_mean(networks.discriminator.trunk(to_network_range(images)), axis=[1, 2]).numpy()
        for images in (real, generated)
    ]
    assert own["quality/frechet[discriminator]"] == pytest.approx(frechet_distance(*features), rel=1e-3)

    pool = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.GlobalAveragePooling2D()])
    pool.save(tmp_path / "mean brightness.keras")
    settings = LoggingSettings(metrics=wanted, feature_extractor=str(tmp_path / "mean brightness.keras"))
    measured = measure_generator(networks, source, 8, settings, seed=3)
    assert list(measured) == [f"quality/{name}[mean brightness]" for name in names]
    brightness = [images.mean(axis=(1, 2)) / 127.5 - 1 for images in (real, generated.numpy())]
    # In one dimension: squared differences of the means and of the deviations.
    expected = sum(
        (moment(brightness[0]) - moment(brightness[1])) ** 2
        for moment in (np.mean, lambda values: np.std(values, ddof=1))
    )
    assert measured["quality/frechet[mean brightness]"] == pytest.approx(expected, rel=1e-4)


def test_a_conditional_generator_draws_from_every_class(tiny, source, monkeypatch):
    keras.utils.set_random_seed(4)
    settings = dataclasses.replace(tiny.networks, label_count=3)
    conditional = build_networks(settings, ImageSpec(8, 1))
    codes = []
    call = type(conditional.generator).call
    monkeypatch.setattr(
        type(conditional.generator),
        "call",
        lambda self, inputs, **kwargs: codes.append(inputs.numpy()) or call(self, inputs, **kwargs),
    )
    measured = measure_generator(conditional, source, 8, LoggingSettings(metrics=("swd", "kid")), seed=3)
    assert np.all(np.isfinite(list(measured.values())))
    labels = np.concatenate(codes)[:, tiny.networks.latent_size :]
    assert len(labels) == 40
    np.testing.assert_array_equal(np.sort(labels, axis=1), [[0, 0, 1]] * 40)
    assert labels.sum(axis=0).min() > 5


def test_the_format_within_the_networks_makes_no_difference(tiny, networks, source):
    other = build_networks(tiny.networks, ImageSpec(8, 1), "channels_first")
    other.assign(networks)
    settings = LoggingSettings(metrics=("frechet",))
    measured = [measure_generator(each, source, 8, settings, seed=3) for each in (networks, other)]
    assert measured[0] == pytest.approx(measured[1], rel=1e-3)


def test_a_feature_extractor_that_does_not_fit_is_told_before_training(source, tmp_path):
    network = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Cropping2D(2)])
    network.save(tmp_path / "open.keras")
    settings = LoggingSettings(metrics=("kid",), feature_extractor=str(tmp_path / "open.keras"))
    check_measures(source, [8, 16], settings)
    with pytest.raises(UserError, match=r"open .*\(4, 4, 1\)"):
        check_measures(source, [4, 8], settings)
    missing = dataclasses.replace(settings, feature_extractor="nowhere")
    with pytest.raises(UserError, match="the feature extractor nowhere does not exist"):
        check_measures(source, [8], missing)
    check_measures(source, [8], dataclasses.replace(missing, metrics=("swd",)))


def test_one_training_image_is_too_few(tiny, tmp_path):
    single = PyramidSource(tiny.folders(tmp_path, tiny.make_images(1)))
    check_measures(single, [8], LoggingSettings())
    with pytest.raises(UserError, match=r"logging\.metrics needs at least 2 training images; received 1"):
        check_measures(single, [8], LoggingSettings(metrics=("swd",)))


@pytest.mark.parametrize("count", [2, 33])
def test_a_last_batch_of_one_image_is_measured_too(networks, source, count):
    names = ("swd", "ms_ssim", "frechet", "kid", "precision_recall")
    settings = LoggingSettings(metrics=names, metric_images=count)
    values = measure_generator(networks, source, 8, settings, seed=1)
    assert len(values) == 7
    assert np.all(np.isfinite(list(values.values())))
