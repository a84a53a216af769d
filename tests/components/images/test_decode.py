"""Decoding against Pillow, eagerly and in a graph, and the errors of what is no image."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import SettingsError
from proganomaly.components.images import decode
from proganomaly.components.images.spec import ImageSpec


def _natural(size=32, channels=3, seed=0):
    """A smooth image, as photographs are: JPEG keeps it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    planes = [127 + 100 * np.sin(rng.uniform(2, 6) * x + rng.uniform(2, 6) * y) for _ in range(channels)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def _encode(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _random_image(mode, size=(8, 6)):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(1).integers(0, 256, (*size, channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(axis=2) if channels == 1 else pixels, mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_pixels_equal_pillows(mode):
    image = _random_image(mode)
    decoded = decode.decode_pixels(_encode(image)).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(image).reshape(decoded.shape))


def test_palette_png_becomes_its_colours():
    image = _random_image("RGB", (16, 16)).quantize(16)
    decoded = decode.decode_pixels(_encode(image)).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_one_bit_png_becomes_eight_bits():
    bits = Image.fromarray(np.eye(8, dtype=np.uint8) * 255).convert("1")
    np.testing.assert_array_equal(decode.decode_pixels(_encode(bits))[:, :, 0], np.eye(8) * 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("white_level", [65535, 4095, 1020, 255])
def test_sixteen_bits_become_the_nearest_of_eight(channels, white_level):
    # All values once; at 1020 every fourth is a tie, which NumPy rounds to the even neighbour.
    deep = np.resize(np.arange(65536, dtype=np.uint16), (64, 1024, channels))
    expected = np.minimum(np.rint(deep.astype(np.float64) * 255 / white_level), 255)
    encoded = tf.io.encode_png(deep)
    np.testing.assert_array_equal(decode.decode_pixels(encoded, white_level), expected)
    in_graph = tf.function(lambda image_bytes: decode.decode_pixels(image_bytes, white_level))
    np.testing.assert_array_equal(in_graph(encoded), expected)


def test_the_white_level_reaches_images_of_a_specification_and_leaves_eight_bits_alone():
    spec = ImageSpec(8, 3, white_level=4095)
    deep = tf.io.encode_png(np.full((8, 8, 1), 1000, np.uint16))
    assert set(decode.decode_image(deep, spec).numpy().ravel()) == {round(255 * 1000 / 4095)}
    shallow = _random_image("RGB", (8, 8))
    np.testing.assert_array_equal(decode.decode_image(_encode(shallow), spec), np.asarray(shallow))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_bmp_is_pillows(mode, in_graph):
    encoded = _encode(_random_image(mode), "BMP")
    function = tf.function(decode.decode_pixels) if in_graph else decode.decode_pixels
    decoded = function(tf.constant(encoded)).numpy()
    # Pillow passes over the fourth byte of a pixel, too.
    expected = np.asarray(Image.open(io.BytesIO(encoded)))
    np.testing.assert_array_equal(decoded, expected.reshape(decoded.shape))
    assert decoded.shape[2] == (1 if mode == "L" else 3)


@pytest.mark.parametrize("mode", ["1", "P"])
def test_a_bmp_with_colours_in_a_palette_is_refused_rather_than_wrong(mode):
    image = _random_image("RGB", (16, 16)).quantize(16) if mode == "P" else Image.new("1", (9, 9))
    with pytest.raises(tf.errors.InvalidArgumentError, match="a BMP image with a palette"):
        decode.decode_images(tf.constant([_encode(image, "BMP")]), ImageSpec(8, 3))


@pytest.mark.parametrize("transform", [0, 2], ids=["cmyk", "ycck"])
def test_cmyk_jpeg_has_pillows_colours(transform):
    smooth = Image.fromarray(_natural(channels=4), "CMYK")
    encoded = bytearray(_encode(smooth, "JPEG", quality=95))
    # The last byte of the Adobe segment says how the four planes were transformed.
    encoded[encoded.index(b"Adobe") + 11] = transform
    decoded = decode.decode_pixels(bytes(encoded)).numpy()
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize("file_format", ["BMP", "GIF"])
def test_other_formats_without_loss(file_format):
    image = Image.fromarray(np.random.default_rng(2).choice([0, 255], (8, 8, 3)).astype(np.uint8))
    decoded = decode.decode_pixels(_encode(image, file_format)).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(image))


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    decoded = decode.decode_pixels(_encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(decoded, np.asarray(frames[0]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_pixels_are_pillows(channels, quality):
    image = Image.fromarray(_natural(channels=channels).squeeze())
    encoded = _encode(image, "JPEG", quality=quality)
    decoded = decode.decode_pixels(encoded).numpy()
    reference = np.asarray(Image.open(io.BytesIO(encoded))).reshape(decoded.shape).astype(int)
    # Equal on this machine; other builds of libjpeg may round a pixel otherwise.
    assert np.abs(decoded - reference).max() <= 1


def test_grey_is_the_rounded_weighted_sum():
    pixels = np.asarray(_random_image("RGB", (8, 8)))
    decoded = decode.decode_image(_encode(Image.fromarray(pixels)), ImageSpec(8, 1)).numpy()
    expected = np.rint(pixels.astype(np.float64) @ [0.2989, 0.587, 0.114])
    np.testing.assert_array_equal(decoded[:, :, 0], expected)
    white = decode.decode_image(_encode(Image.new("RGB", (8, 8), "white")), ImageSpec(8, 1))
    assert set(white.numpy().ravel()) == {255}


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_file_gets_the_channels_asked_for_without_alpha(mode, channels):
    image = _random_image(mode, (8, 8))
    decoded = decode.decode_image(_encode(image), ImageSpec(8, channels)).numpy()
    assert decoded.shape == (8, 8, channels)
    pixels = np.asarray(image).reshape(8, 8, -1)
    if mode in ("L", "LA"):
        np.testing.assert_array_equal(decoded, np.repeat(pixels[:, :, :1], channels, axis=2))
    elif channels == 3:
        np.testing.assert_array_equal(decoded, pixels[:, :, :3])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_four_channels_are_colours_and_alpha_opaque_where_the_file_has_none(mode):
    image = _random_image(mode, (8, 8))
    decoded = decode.decode_images(tf.constant([_encode(image)]), ImageSpec(8, 4)).numpy()[0]
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGBA")))


def test_a_jpeg_of_four_channels_is_opaque():
    decoded = decode.decode_image(_encode(Image.fromarray(_natural(8)), "JPEG"), ImageSpec(8, 4)).numpy()
    assert decoded.shape == (8, 8, 4)
    assert set(decoded[:, :, 3].ravel()) == {255}


@pytest.mark.parametrize("channels", [2, 5])
def test_no_image_file_has_other_numbers_of_channels(channels):
    with pytest.raises(SettingsError, match=f"must be one of 1, 3, 4; received {channels}"):
        decode.decode_image(_encode(_random_image("RGB")), ImageSpec(8, channels))


def test_batch_in_a_graph_equals_single_images():
    spec = ImageSpec(16, 1)
    files = [
        _encode(Image.fromarray(_natural(48))),
        _encode(Image.fromarray(_natural(40, seed=1)), "JPEG"),
        _encode(_random_image("LA", (20, 31))),
    ]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def batch(image_bytes):
        images = decode.decode_images(image_bytes, spec)
        assert images.shape.as_list() == [None, 16, 16, 1]
        return images

    expected = np.stack([decode.decode_image(file, spec) for file in files])
    np.testing.assert_array_equal(batch(tf.constant(files)), expected)
    assert batch(tf.constant([], tf.string)).shape == [0, 16, 16, 1]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_native_image_keeps_its_size_and_gets_the_channels(channels):
    image = _random_image("RGBA", (7, 12))
    decoded = decode.decode_native(_encode(image), channels).numpy()
    pixels = np.asarray(image)
    if channels == 1:
        expected = np.rint(pixels[:, :, :3].astype(np.float64) @ [0.2989, 0.587, 0.114])[:, :, None]
    else:
        expected = pixels[:, :, :channels]
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("broken", [b"", b"B", b"hello, world", b"RIFF....WEBPVP8 "])
@pytest.mark.parametrize("in_graph", [False, True])
def test_broken_row_is_named(broken, in_graph):
    good = _encode(_random_image("RGB"))
    rows = tf.constant([good, good, good, broken, good, broken])

    def decode_rows(image_bytes):
        return decode.decode_images(image_bytes, ImageSpec(8, 3))

    function = tf.function(decode_rows) if in_graph else decode_rows
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"image_bytes\[3\] is not a PNG, JPEG, BMP or GIF"
    ):
        function(rows)


def test_truncated_image_raises():
    encoded = _encode(_random_image("RGB", (64, 64)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode.decode_pixels(encoded[: len(encoded) // 2])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_mask_is_zero_or_one_in_every_mode(mode):
    expected = np.zeros((16, 16), np.uint8)
    expected[4:8, 5:9] = 1
    image = Image.fromarray(expected * 255).convert(mode)
    mask = decode.decode_mask(_encode(image), ImageSpec(16, 3)).numpy()
    np.testing.assert_array_equal(mask[:, :, 0], expected)
    assert mask.dtype == np.uint8


def test_format_by_first_bytes():
    for name in ("PNG", "JPEG", "BMP", "GIF"):
        assert decode.image_format(_encode(_random_image("RGB"), name)) == name.lower()
    assert decode.image_format(b"") is None
    assert decode.image_format(b"text") is None
