"""Feature extractors from files: sizes, ranges and channels by the stated rules, names, mistakes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.metrics.generation.extractor import (
    FeatureExtractor,
    frechet_name,
    load_extractor,
)


def images(side: int = 12, channels: int = 3, count: int = 5) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def model(shape=(12, 12, 3), *layers: keras.Layer, pooled: bool = True) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input(shape)
    for layer in [*layers, keras.layers.Conv2D(4, 3, activation="relu")]:
        x = layer(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x) if pooled else x)


def expected(network: keras.Model, values: np.ndarray) -> np.ndarray:
    """The one convolution of `model` and its mean, in NumPy."""
    kernel, bias = (weight.numpy() for weight in network.weights[-2:])
    windows = np.lib.stride_tricks.sliding_window_view(values, (3, 3), axis=(1, 2))
    maps = np.einsum("nxycij,ijcd->nxyd", windows, kernel) + bias
    return np.maximum(maps, 0).mean(axis=(1, 2))


def export(network: keras.Model, path) -> str:
    if path.suffix:
        network.save(path)
    else:
        network.export(str(path), verbose=False)
    return str(path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("name", ["small net.keras", "small net.h5", "small net"])
@pytest.mark.parametrize("pooled", [True, False])
def test_files_of_every_kind_give_the_networks_features_under_their_name(name, pooled, tmp_path):
    network = model(pooled=pooled)
    extractor = load_extractor(export(network, tmp_path / name))
    assert extractor.name == "small net"
    features = extractor(images())
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected(network, images() / 127.5 - 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [keras.layers.Rescaling(1 / 50), keras.layers.Normalization(mean=0.0, variance=2500.0)]
)
def test_a_model_that_scales_its_input_itself_takes_0_to_255(layer, tmp_path):
    network = model((12, 12, 3), layer)
    extractor = load_extractor(export(network, tmp_path / "own.keras"))
    np.testing.assert_allclose(extractor(images()), expected(network, images() / 50), rtol=1e-4, atol=1e-5)


def test_a_scaling_layer_within_a_nested_model_counts(tmp_path):
    inner = model((12, 12, 3), keras.layers.Rescaling(1 / 50))
    network = keras.Sequential([keras.Input((12, 12, 3)), inner])
    extractor = load_extractor(export(network, tmp_path / "nested.keras"))
    np.testing.assert_allclose(extractor(images()), expected(inner, images() / 50), rtol=1e-4, atol=1e-5)


def test_an_integer_input_takes_0_to_255():
    seen = []

    def network(values):
        seen.append(values.numpy())
        return tf.zeros([len(values), 2])

    FeatureExtractor("raw", network, input_dtype=tf.uint8)(images())
    np.testing.assert_array_equal(seen[0], images())
    assert seen[0].dtype == np.uint8


def test_images_are_resized_to_the_input_and_grey_is_repeated(tmp_path):
    network = model((24, 24, 3))
    extractor = load_extractor(export(network, tmp_path / "larger.keras"))
    grey = images(channels=1)
    resized = np.stack(
        [
            np.asarray(Image.fromarray(image[..., 0].astype(np.float32)).resize((24, 24), Image.BILINEAR))
            for image in grey
        ]
    )
    colour = np.repeat(resized[..., None], 3, axis=-1)
    np.testing.assert_allclose(extractor(grey), expected(network, colour / 127.5 - 1), rtol=1e-3, atol=1e-4)


def test_an_open_input_keeps_the_images_own_size(tmp_path):
    network = model((None, None, 3))
    extractor = load_extractor(export(network, tmp_path / "open"))
    wanted = expected(network, images(20) / 127.5 - 1)
    np.testing.assert_allclose(extractor(images(20)), wanted, rtol=1e-4, atol=1e-5)


def test_batches_make_no_difference(tmp_path):
    extractor = load_extractor(export(model(), tmp_path / "net.keras"))
    many = images(count=70)
    np.testing.assert_allclose(
        extractor(many), np.concatenate([extractor(image[None]) for image in many]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "width", "called"),
    [
        ("inception_v3", 2048, "fid"),
        ("InceptionV3", 2048, "fid"),
        ("inception_v3", 1000, "frechet[inception_v3]"),
        ("resnet50", 2048, "frechet[resnet50]"),
        ("discriminator", 512, "frechet[discriminator]"),
    ],
)
def test_only_inceptions_own_features_make_a_fid(name, width, called):
    assert frechet_name(name, width) == called


def two_outputs():
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, [inputs + 1, inputs + 2])


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        (lambda: model((12, 12, 4)), "net.keras", "takes images of 4 channels; received 3"),
        (lambda: model((12, 12, 1)), "net", "takes images of 1 channels; received 3"),
        (two_outputs, "net.keras", r"must give features \[N, D\] or \[N, H, W, D\]; received several"),
        (two_outputs, "net", "received several outputs"),
        (lambda: keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)]), "n.keras", r"\(None, 7\)"),
        (
            lambda: keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Reshape((-1, 3))]),
            "n.keras",
            "144",
        ),
    ],
)
def test_networks_that_do_not_fit_are_told_in_one_line(network, name, message, tmp_path):
    path = export(network(), tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        load_extractor(path)(images())
    assert "\n" not in str(caught.value)


def test_too_small_images_are_told_in_one_line(tmp_path):
    extractor = load_extractor(export(model((None, None, 3)), tmp_path / "open.keras"))
    with pytest.raises(UserError, match=r"open cannot take images of shape \(2, 2, 3\)") as caught:
        extractor(images(2))
    assert "\n" not in str(caught.value)


def test_features_without_an_entry_are_told():
    nothing = FeatureExtractor("pooled away", lambda images: images[:, :0])
    with pytest.raises(
        UserError, match=r"pooled away must .* received \(5, 0, 12, 3\) for 5 images of shape"
    ):
        nothing(images())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("text.txt", r"folder of a SavedModel or a file of \.keras, \.h5, \.hdf5; received"),
        ("broken.keras", "cannot be loaded"),
        ("broken.h5", "cannot be loaded"),
        ("empty", "cannot be loaded"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    for file in ("text.txt", "broken.keras", "broken.h5"):
        (tmp_path / file).write_text("no model")
    with pytest.raises(UserError, match=message) as caught:
        load_extractor(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_saved_model_without_the_usual_signature_is_told(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    with pytest.raises(UserError, match="bare has no signature serving_default"):
        load_extractor(str(tmp_path / "bare"))
