"""The tf.Example of an image: round trips, the graph's view of it, and files of them."""

import dataclasses

import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.records import image_example
from proganomaly.components.records.image_example import ImageRecord

PLAIN = ImageRecord(
    image=b"\x89PNG\x00\xff",
    filename="train/good/straße 1.png",
    format="png",
    height=0,
    width=7,
    channels=3,
    brightness=0.5,
    contrast=0.25,
    sharpness=0.0,
)
LABELLED = dataclasses.replace(PLAIN, label=0, defect_type="good", mask=b"mask")


@pytest.mark.parametrize("record", [PLAIN, LABELLED, dataclasses.replace(LABELLED, label=1)])
def test_round_trip(record):
    serialized = image_example.encode_image_example(record)
    assert image_example.decode_image_example(serialized) == record
    assert image_example.encode_image_example(record) == serialized


def test_what_is_unknown_is_absent():
    features = tf.train.Example.FromString(image_example.encode_image_example(PLAIN)).features.feature
    assert not {"label", "mask", "defect_type"} & set(features)
    assert set(image_example.STATISTICS_FEATURES) <= set(features)


def test_graph_parsing_knows_every_field_and_the_defaults():
    assert set(image_example.FEATURE_SPEC) == {field.name for field in dataclasses.fields(ImageRecord)}
    rows = [image_example.encode_image_example(record) for record in (PLAIN, LABELLED)]
    parsed = tf.io.parse_example(rows, image_example.FEATURE_SPEC)
    assert parsed["label"].numpy().tolist() == [-1, 0]
    assert parsed["mask"].numpy().tolist() == [b"", b"mask"]
    assert parsed["width"].numpy().tolist() == [7, 7]


def test_missing_feature_is_named():
    example = tf.train.Example.FromString(image_example.encode_image_example(PLAIN))
    del example.features.feature["width"]
    with pytest.raises(ValueError, match="the feature width is missing"):
        image_example.decode_image_example(example.SerializeToString())


def test_reading_a_split_in_the_order_of_its_files(tmp_path):
    records = [dataclasses.replace(PLAIN, filename=str(i)) for i in range(5)]
    for name, part in (("b.gz", records[3:]), ("a.gz", records[:3])):
        with tf.io.TFRecordWriter(str(tmp_path / name), "GZIP") as writer:
            for record in part:
                writer.write(image_example.encode_image_example(record))
    assert list(image_example.read_image_examples(f"{tmp_path}/")) == records


def test_an_empty_split_has_no_images(tmp_path):
    assert list(image_example.read_image_examples(str(tmp_path))) == []


@pytest.mark.parametrize("name, kind", [("image", "int64"), ("height", "bytes"), ("brightness", "int64")])
def test_a_feature_of_another_kind_is_named(name, kind):
    example = tf.train.Example.FromString(image_example.encode_image_example(PLAIN))
    example.features.feature[name].Clear()
    getattr(example.features.feature[name], f"{kind}_list").value.append(b"7" if kind == "bytes" else 7)
    with pytest.raises(ValueError, match=f"the feature {name} must be a .*; it is a {kind}_list"):
        image_example.decode_image_example(example.SerializeToString())


def test_damage_is_named_by_file_and_record(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(image_example.encode_image_example(PLAIN))
        writer.write(b"\xff\xff")
    with pytest.raises(UserError, match=r"a\.tfrecord: record 1: it is no tf\.Example"):
        list(image_example.read_image_examples(str(tmp_path)))
    content = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "a.tfrecord").write_bytes(content[:40])
    with pytest.raises(UserError, match=r"a\.tfrecord is damaged, truncated or no TFRecord file: record 0"):
        list(image_example.read_image_examples(str(tmp_path)))
