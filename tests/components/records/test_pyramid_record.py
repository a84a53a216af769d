"""The pyramid's records against the original tool's format, written and read here by plain protobuf."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.records import pyramid_record


def _image(resolution: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (resolution, resolution, channels), np.uint8)


def _original_record(image: np.ndarray) -> bytes:
    """A record as the original's dataset_tool.py writes it."""
    chw = image.transpose(2, 0, 1)
    feature = {
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=chw.shape)),
        "data": tf.train.Feature(bytes_list=tf.train.BytesList(value=[chw.tobytes()])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _write(path, images, record=_original_record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in images:
            writer.write(record(image))


def _original_folder(folder, levels=(2, 3, 4), prefix="brick-", suffix=".tfrecords", count=3, channels=1):
    for level in levels:
        images = [_image(2**level, channels, seed) for seed in range(count)]
        _write(folder / f"{prefix}r{level:02d}{suffix}", images)
    return str(folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_record_has_the_originals_content(channels):
    image = _image(8, channels)
    ours = tf.train.Example.FromString(pyramid_record.encode_pyramid_record(image))
    assert ours == tf.train.Example.FromString(_original_record(image))


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_in_a_dataset(channels):
    images = np.stack([_image(16, channels, seed) for seed in range(5)])
    records = [pyramid_record.encode_pyramid_record(image) for image in images]
    dataset = tf.data.Dataset.from_tensor_slices(records).batch(5, drop_remainder=True)
    dataset = dataset.map(lambda batch: pyramid_record.parse_pyramid_records(batch, 16, channels))
    assert dataset.element_spec == tf.TensorSpec([5, 16, 16, channels], tf.uint8)
    np.testing.assert_array_equal(next(dataset.as_numpy_iterator()), images)
    assert pyramid_record.read_shape(records[0]) == (channels, 16, 16)


@pytest.mark.parametrize("resolution, channels", [(8, 1), (16, 3)])
def test_parsing_refuses_another_shape(resolution, channels):
    record = pyramid_record.encode_pyramid_record(_image(16, 1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="a pyramid record's shape is not"):
        pyramid_record.parse_pyramid_records(tf.constant([record]), resolution, channels)


def test_encoding_refuses_floats_and_batches():
    for image in (np.zeros((4, 4, 1), np.float32), np.zeros((1, 4, 4, 1), np.uint8)):
        with pytest.raises(ValueError, match="must be uint8"):
            pyramid_record.encode_pyramid_record(image)


@pytest.mark.parametrize("content", [b"\xff\xff", b"", tf.train.Example().SerializeToString()])
def test_read_shape_refuses_other_records(content):
    with pytest.raises(UserError, match="record"):
        pyramid_record.read_shape(content)


def test_read_shape_refuses_data_of_another_size():
    example = tf.train.Example.FromString(_original_record(_image(4, 1)))
    example.features.feature["data"].bytes_list.value[0] = b"short"
    with pytest.raises(UserError, match="must hold 16 bytes of data; it holds 5"):
        pyramid_record.read_shape(example.SerializeToString())


def test_level_names():
    assert [pyramid_record.level_name(r) for r in (4, 64, 1024)] == ["r02", "r06", "r10"]
    for resolution in (2, 48, 2048):
        with pytest.raises(UserError, match=f"received {resolution}"):
            pyramid_record.level_name(resolution)


def test_finds_our_layout_with_several_and_empty_shards(tmp_path):
    for level in (2, 3):
        for shard in range(2):
            _write(tmp_path / f"r{level:02d}" / f"data-{shard}", [_image(2**level, 3, shard)])
        _write(tmp_path / f"r{level:02d}" / "data-2", [])
    (tmp_path / "notes.txt").write_text("ignored")
    levels = pyramid_record.find_levels(str(tmp_path))
    assert list(levels) == [4, 8]
    assert levels[8] == [f"{tmp_path}/r03/data-{shard}" for shard in range(3)]


@pytest.mark.parametrize("prefix", ["brick-", "", "car05-"])
def test_finds_the_originals_layout(tmp_path, prefix):
    folder = _original_folder(tmp_path, prefix=prefix)
    (tmp_path / f"{prefix}rxx.labels").write_bytes(b"ignored")
    levels = pyramid_record.find_levels(folder)
    assert levels == {2**n: [f"{folder}/{prefix}r{n:02d}.tfrecords"] for n in (2, 3, 4)}


def test_several_families_must_be_named(tmp_path):
    _original_folder(tmp_path, prefix="a-")
    folder = _original_folder(tmp_path, prefix="b-")
    with pytest.raises(UserError, match=r"several pyramids \(a-rNN\.tfrecords, b-rNN\.tfrecords\)"):
        pyramid_record.find_levels(folder)
    assert list(pyramid_record.find_levels(folder, prefix="b-")) == [4, 8, 16]
    with pytest.raises(UserError, match=r"nor files c-rNN<suffix>"):
        pyramid_record.find_levels(folder, prefix="c-")


def test_missing_folder_and_empty_folder(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        pyramid_record.find_levels(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="holds no pyramid"):
        pyramid_record.find_levels(str(tmp_path))


def test_missing_level_is_named(tmp_path):
    with pytest.raises(UserError, match=r"lacks the pyramid levels r03, r04$"):
        pyramid_record.find_levels(_original_folder(tmp_path, levels=(2, 5)))


def test_level_beyond_the_largest_is_refused(tmp_path):
    _write(tmp_path / "x-r11.tfrecords", [_image(4, 1)])
    with pytest.raises(UserError, match=r"r02 \(4 pixels\) to r10"):
        pyramid_record.find_levels(str(tmp_path))


def test_record_of_another_level_is_named(tmp_path):
    folder = _original_folder(tmp_path)
    _write(tmp_path / "brick-r03.tfrecords", [_image(16, 1)] * 3)
    with pytest.raises(UserError, match=r"brick-r03.tfrecords: records of level r03 must be 8 x 8; received"):
        pyramid_record.find_levels(folder)


def test_levels_of_different_length_are_refused(tmp_path):
    folder = _original_folder(tmp_path)
    _write(tmp_path / "brick-r03.tfrecords", [_image(8, 1)] * 2)
    with pytest.raises(UserError, match="found r02: 3, r03: 2, r04: 3"):
        pyramid_record.find_levels(folder)


def test_levels_of_different_channels_are_refused(tmp_path):
    folder = _original_folder(tmp_path)
    _write(tmp_path / "brick-r03.tfrecords", [_image(8, 3)] * 3)
    with pytest.raises(UserError, match="same number of channels"):
        pyramid_record.find_levels(folder)


@pytest.mark.parametrize("keep", [5, 14, 20, -40, -7])
def test_truncated_file_is_named(tmp_path, keep):
    folder = _original_folder(tmp_path)
    path = tmp_path / "brick-r04.tfrecords"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"brick-r04\.tfrecords is damaged, truncated"):
        pyramid_record.find_levels(folder)


def test_file_of_another_kind_is_named(tmp_path):
    folder = _original_folder(tmp_path)
    (tmp_path / "brick-r04.tfrecords").write_bytes(b"no records at all, but a text of some length")
    with pytest.raises(
        UserError, match=r"brick-r04\.tfrecords is damaged, truncated or no TFRecord file: record 0"
    ):
        pyramid_record.find_levels(folder)


def test_counts_records_of_unequal_length(tmp_path):
    path = tmp_path / "mixed"
    _write(path, [_image(4, 1), _image(8, 1), _image(4, 3)])
    assert pyramid_record.count_records(str(path)) == 3


def test_fingerprint_sees_content_not_order(tmp_path):
    images = [_image(4, 1, seed) for seed in range(4)]
    _write(tmp_path / "one" / "x-r02.tfrecords", images)
    _write(tmp_path / "two" / "r02" / "data-0", images[2:], pyramid_record.encode_pyramid_record)
    _write(tmp_path / "two" / "r02" / "data-1", images[:2], pyramid_record.encode_pyramid_record)
    _write(tmp_path / "three" / "x-r02.tfrecords", [*images, images[0]])
    _write(tmp_path / "four" / "x-r02.tfrecords", [*images[:3], images[3] ^ 1])
    one, two, three, four = (
        pyramid_record.fingerprint(pyramid_record.find_levels(str(tmp_path / name)))
        for name in ("one", "two", "three", "four")
    )
    assert one == two
    assert len({one, three, four}) == 3


def test_a_negative_shape_is_refused_though_its_product_fits():
    example = tf.train.Example.FromString(_original_record(_image(4, 1)))
    example.features.feature["shape"].int64_list.value[:] = [1, -4, -4]
    with pytest.raises(UserError, match=r"shape must be positive; received \(1, -4, -4\)"):
        pyramid_record.read_shape(example.SerializeToString())


def test_what_protobuf_stops_at_in_the_middle_is_no_record():
    # Python's protobuf takes what stands before the end of a group that never began; a graph does not.
    record = _original_record(_image(4, 1)) + b"\x0crest"
    with pytest.raises(UserError, match=r"no tf\.Example from its beginning to its end"):
        pyramid_record.read_shape(record)
