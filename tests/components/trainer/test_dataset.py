"""The order of the training images: complete, and a pure function of seed and position."""

import itertools
import shutil

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import encode_pyramid_record
from proganomaly.components.trainer.dataset import PyramidSource, training_batches
from proganomaly.components.trainer.settings import DataSettings

COUNT = 23


@pytest.fixture(scope="module")
def images(tiny) -> np.ndarray:
    return tiny.make_images(COUNT)


@pytest.fixture(scope="module")
def source(tiny, images, tmp_path_factory) -> PyramidSource:
    return PyramidSource(tiny.folders(tmp_path_factory.mktemp("folders"), images, shards=3))


@pytest.fixture(scope="module")
def single_files(tiny, images, tmp_path_factory) -> str:
    return tiny.single_files(tmp_path_factory.mktemp("files"), images)


def _take(source, count, batch_size=4, position=0, seed=1, **data) -> np.ndarray:
    """The next `count` images from a position."""
    settings = DataSettings(**{"shuffle_buffer": 10, **data})
    batches = training_batches(source, 8, batch_size, position, seed, settings)
    taken = [images for images, _ in itertools.islice(batches.as_numpy_iterator(), -(-count // batch_size))]
    return np.concatenate(taken)[:count]


def _numbers(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("shuffle_buffer", [1, 10, 1000])
def test_every_epoch_holds_every_image_once(source, images, shuffle_buffer):
    numbers = _numbers(_take(source, 3 * COUNT, shuffle_buffer=shuffle_buffer))
    epochs = [numbers[start : start + COUNT] for start in range(0, 3 * COUNT, COUNT)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    if shuffle_buffer > 1:
        assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != sorted(epochs[0])


def test_pixels_are_those_that_were_written(source, images):
    taken = _take(source, COUNT)
    np.testing.assert_array_equal(taken, images[_numbers(taken)])


@pytest.mark.parametrize("position", [1, 7, COUNT - 1, COUNT, COUNT + 5, 3 * COUNT + 2])
def test_a_later_position_continues_the_same_stream(source, position):
    whole = _take(source, 5 * COUNT, mirror_augment=True)
    np.testing.assert_array_equal(
        _take(source, COUNT, batch_size=3, position=position, mirror_augment=True), whole[position:][:COUNT]
    )


@pytest.mark.option("seed")
def test_the_order_belongs_to_the_seed_alone(source):
    first = _numbers(_take(source, COUNT, seed=1))
    tf.random.set_seed(99)
    tf.random.uniform([3])
    assert _numbers(_take(source, COUNT, seed=1)) == first
    assert _numbers(_take(source, COUNT, seed=2)) != first


@pytest.mark.option("data.mirror_augment")
def test_mirroring_flips_about_half_of_the_images_left_to_right(source, images):
    taken, plain = _take(source, 8 * COUNT, mirror_augment=True), _take(source, 8 * COUNT)
    flipped = [not np.array_equal(one, other) for one, other in zip(taken, plain, strict=True)]
    assert 0.3 < np.mean(flipped) < 0.7
    np.testing.assert_array_equal(taken[flipped], plain[flipped][:, :, ::-1])
    # An image is not flipped the same way in every epoch.
    assert flipped[:COUNT] != flipped[COUNT : 2 * COUNT]


def test_parts_held_out_are_disjoint_and_complete_at_every_level(single_files, images):
    train = PyramidSource(single_files, hold_out="train")
    calibration = PyramidSource(single_files, hold_out="calibration")
    assert (train.images, calibration.images) == (18, 5)
    for resolution in (4, 8):
        whole = np.concatenate(list(PyramidSource(single_files).batches(resolution)))
        parts = [np.concatenate(list(part.batches(resolution))) for part in (train, calibration)]
        assert [len(part) for part in parts] == [18, 5]
        np.testing.assert_array_equal(parts[1], whole[::5])
        np.testing.assert_array_equal(parts[0], whole[np.arange(COUNT) % 5 > 0])
    assert sorted(_numbers(_take(train, 18))) == [number for number in range(COUNT) if number % 5]


def test_parts_are_held_out_of_single_files_only(source):
    with pytest.raises(UserError, match="must have one file per level to hold out images; it has several"):
        PyramidSource(source.folder, hold_out="train")


def test_both_layouts_give_the_same_images(source, single_files):
    other = PyramidSource(single_files, prefix="stripes-", suffix=".tfrecords")
    assert (other.images, other.largest, other.channels) == (source.images, 8, 1) == (COUNT, 8, 1)
    for resolution in (4, 8):
        for one, two in zip(source.batches(resolution, 10), other.batches(resolution, 10), strict=True):
            np.testing.assert_array_equal(one, two)


def test_colour_is_kept(tiny, tmp_path):
    images = tiny.make_images(5, channels=3)
    source = PyramidSource(tiny.folders(tmp_path, images))
    assert source.channels == 3
    np.testing.assert_array_equal(next(source.batches(8)), images)


def test_a_level_that_is_not_there_is_named(source):
    with pytest.raises(UserError, match=r"has no level of 16 pixels; its levels are 4, 8$"):
        training_batches(source, 16, 4, 0, 1, DataSettings())


@pytest.fixture
def labelled(tiny, images, tmp_path) -> str:
    """Single files whose labels are the images' numbers modulo 3, the last rows soft ones."""
    folder = tiny.single_files(tmp_path / "labelled", images)
    rows = np.eye(3, dtype=np.float32)[np.arange(COUNT) % 3]
    rows[-5:] = rows[-5:] * 0.4 + 0.2
    write_labels(f"{folder}/stripes-", rows)
    return folder


@pytest.mark.parametrize("hold_out", [None, "train", "calibration"])
@pytest.mark.parametrize("cache", [False, True])
def test_labels_stay_with_their_images(labelled, hold_out, cache):
    source = PyramidSource(labelled, hold_out=hold_out)
    batches = training_batches(source, 8, 4, 5, 1, DataSettings(shuffle_buffer=7, cache=cache), 3)
    for images, labels in itertools.islice(batches.as_numpy_iterator(), 12):
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, np.array(_numbers(images)) % 3)


def test_labels_are_zero_where_the_networks_know_none(labelled, single_files):
    for folder in (labelled, single_files):
        _, labels = next(
            training_batches(PyramidSource(folder), 8, 4, 0, 1, DataSettings()).as_numpy_iterator()
        )
        assert labels.tolist() == [0, 0, 0, 0]


def test_labels_that_are_missing_or_do_not_fit(labelled, single_files, source):
    for folder in (single_files, source.folder):
        with pytest.raises(UserError, match=r"label_count is 3, but .* has no labels: a file <prefix>rxx"):
            training_batches(PyramidSource(folder), 8, 4, 0, 1, DataSettings(), 3)
    with pytest.raises(UserError, match=r"must be of 23 images and 4 classes .*; they are of 23 and 3"):
        PyramidSource(labelled).labels(4)
    write_labels(f"{labelled}/stripes-", np.eye(3, dtype=np.float32)[[0, 1]])
    with pytest.raises(UserError, match=r"stripes-rxx.labels must be of 23 images .*; they are of 2 and 3"):
        PyramidSource(labelled, prefix="stripes-").labels(3)


@pytest.mark.option("data.cache")
@pytest.mark.parametrize("hold_out", [None, "train"])
def test_the_cache_changes_no_order_and_needs_no_file(tiny, images, tmp_path, hold_out):
    source = PyramidSource(tiny.folders(tmp_path, images, shards=1 if hold_out else 3), hold_out=hold_out)
    plain = _take(source, 3 * COUNT, position=7, mirror_augment=True)
    batches = training_batches(source, 8, 4, 7, 1, DataSettings(True, True, 10)).as_numpy_iterator()
    shutil.rmtree(tmp_path)
    taken = np.concatenate([images for images, _ in itertools.islice(batches, 3 * COUNT // 4)])
    np.testing.assert_array_equal(taken, plain[: len(taken)])


def test_the_cache_holds_one_level(source):
    assert source.cached(8) is source.cached(8)
    assert source.cached(4).shape == (COUNT, 4, 4, 1)
    np.testing.assert_array_equal(source.cached(8), np.concatenate(list(source.batches(8))))


@pytest.mark.parametrize("change", [{"read_buffer_bytes": 1}, {"prefetch_batches": 7}])
def test_how_files_are_read_changes_nothing(source, change):
    np.testing.assert_array_equal(_take(source, COUNT, **change), _take(source, COUNT))


@pytest.mark.option("data.prefetch_batches", "data.read_buffer_bytes")
def test_reading_settings_reach_the_data_set(source, monkeypatch):
    sizes, ahead = [], []
    reader, prefetch = tf.data.TFRecordDataset, tf.data.Dataset.prefetch

    def record_reader(path, buffer_size=None):
        sizes.append(buffer_size)
        return reader(path, buffer_size=buffer_size)

    def record_prefetch(dataset, buffer_size):
        ahead.append(buffer_size)
        return prefetch(dataset, buffer_size)

    monkeypatch.setattr(tf.data, "TFRecordDataset", record_reader)
    monkeypatch.setattr(tf.data.Dataset, "prefetch", record_prefetch)
    settings = DataSettings(read_buffer_bytes=4_321, prefetch_batches=5)
    next(iter(training_batches(source, 8, 4, 0, 1, settings)))
    assert (sizes, ahead) == ([4_321], [5])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_any_number_of_channels(tiny, tmp_path, channels):
    images = tiny.make_images(6, channels=channels)
    source = PyramidSource(tiny.folders(tmp_path, images))
    assert source.channels == channels
    taken = _take(source, 6, cache=True)
    np.testing.assert_array_equal(taken, images[_numbers(taken)])


def test_the_smallest_level_may_be_8(tiny, tmp_path):
    source = PyramidSource(tiny.folders(tmp_path, tiny.make_images(5, 16), smallest=8))
    assert (list(source.levels), source.images) == ([8, 16], 5)


def _spoil_a_byte(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def _put_in_a_smaller_image(path) -> None:
    _replace_record(path, encode_pyramid_record(np.zeros((4, 4, 1), np.uint8)))


def _replace_record(path, record: bytes) -> None:
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    records[11] = record
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _put_in_no_example(path) -> None:
    # TensorFlow's message holds these bytes, which are no text.
    _replace_record(path, b"\xe4\xff\xe4")


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_spoil_a_byte, r"stripes-r03\.tfrecords is damaged"),
        (
            _put_in_no_example,
            r"stripes-r03\.tfrecords: record 11: a record cannot be used: it is no tf\.Example",
        ),
        (_put_in_a_smaller_image, r"r03\.tfrecords: record 11 must be of shape \(1, 8, 8\).*\(1, 4, 4\)$"),
    ],
)
def test_what_is_wrong_in_the_middle_of_a_file_is_named(tiny, images, tmp_path, spoil, message, cache):
    source = PyramidSource(tiny.single_files(tmp_path, images))
    spoil(tmp_path / "stripes-r03.tfrecords")
    with pytest.raises(UserError, match=message):
        batches = training_batches(source, 8, 4, 0, 1, DataSettings(cache=cache))
        list(itertools.islice(source.reading(8, batches), 6))
    with pytest.raises(UserError, match=message):
        list(source.batches(8))


def test_a_file_that_goes_away_is_named(tiny, images, tmp_path):
    source = PyramidSource(tiny.single_files(tmp_path, images))
    (tmp_path / "stripes-r03.tfrecords").unlink()
    message = r"stripes-r03\.tfrecords, record 0: it cannot be read \(.*No such file"
    with pytest.raises(UserError, match=message):
        list(source.batches(8))
