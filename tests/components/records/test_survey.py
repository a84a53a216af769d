"""What is said of files of records, against what was written into them."""

import dataclasses
import hashlib
import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.records.image_example import ImageRecord, encode_image_example
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import encode_pyramid_record
from proganomaly.components.records.survey import survey_records


def _write(path, records, compression="") -> list[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return records


def _levels(side: int, count: int = 4) -> list[bytes]:
    random = np.random.default_rng(side)
    return [encode_pyramid_record(random.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(count)]


def _example(width: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, 5)).save(file, kind)
    record = ImageRecord(file.getvalue(), "a", kind.lower(), 5, width, 3, 0.0, 0.0, 0.0, label=0)
    return encode_image_example(record)


def test_a_pyramid_of_single_files(tmp_path):
    written = {
        side: _write(tmp_path / f"x-r0{level}.tfrecords", _levels(side)) for level, side in ((2, 4), (3, 8))
    }
    write_labels(f"{tmp_path}/x-", np.eye(4, dtype=np.float32))
    (tmp_path / "notes.txt").write_text("of no interest")
    survey = survey_records(str(tmp_path))
    assert [found.name for found in survey.sets] == ["x-r02.tfrecords", "x-r03.tfrecords"]
    for found, (side, records) in zip(survey.sets, written.items(), strict=True):
        assert (found.files, found.records) == (1, 4)
        assert found.bytes == (tmp_path / found.name).stat().st_size
        assert found.formats == {"pyramid level": 4}
        assert found.shapes == {f"3 x {side} x {side} uint8": 4}
        hashes = b"".join(hashlib.sha256(record).digest() for record in records)
        assert found.order == hashlib.sha256(hashes).hexdigest()
    assert (survey.labels, survey.damage, survey.passed_over) == ({"x-rxx.labels": "4 x 4"}, [], 1)
    json.dumps(dataclasses.asdict(survey))


def test_order_and_content_do_not_depend_on_the_files(tmp_path):
    records = _levels(4, 6)
    _write(tmp_path / "one/r02/data-0", records)
    _write(tmp_path / "two/r02/data-0", records[:2])
    _write(tmp_path / "two/r02/data-1", records[2:])
    _write(tmp_path / "three/r02/data-0", records[::-1])
    _write(tmp_path / "four/r02/data-0", [*records[:5], records[0]])
    one, two, three, four = (
        survey_records(str(tmp_path / name)).sets[0] for name in ("one", "two", "three", "four")
    )
    assert (one.name, two.files) == ("r02/", 2)
    assert one.order == two.order != three.order
    assert one.content == two.content == three.content != four.content


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_encoded_images(tmp_path, compression):
    records = [_example(7), _example(9), _example(9), _example(3, "JPEG"), _example(6, "PNG", "I;16")]
    _write(tmp_path / "Split-train/data.tfrecord", records, compression)
    [found] = survey_records(str(tmp_path)).sets
    assert (found.name, found.records, found.formats) == ("Split-train/", 5, {"encoded images": 5})
    assert found.shapes == {
        "3 x 5 x 7 uint8 PNG": 1,
        "3 x 5 x 9 uint8 PNG": 2,
        "3 x 5 x 3 uint8 JPEG": 1,
        "1 x 5 x 6 uint16 PNG": 1,
    }
    names = "brightness, channels, contrast, filename, format, height, image, label, sharpness, span, width"
    assert found.features == {names: 5}


def test_other_examples_are_called_so(tmp_path):
    example = tf.train.Example()
    example.features.feature["age"].int64_list.value.append(7)
    _write(tmp_path / "people.tfrecord", [example.SerializeToString()])
    [found] = survey_records(f"{tmp_path}/people.tfrecord").sets
    assert (found.name, found.formats) == (f"{tmp_path}/people.tfrecord", {"other tf.Examples": 1})
    assert (found.features, found.shapes) == ({"age": 1}, {})


def test_damage_is_named_by_file_and_record_and_the_rest_is_read(tmp_path):
    _write(tmp_path / "x-r02.tfrecords", _levels(4))
    content = (tmp_path / "x-r02.tfrecords").read_bytes()
    (tmp_path / "x-r02.tfrecords").write_bytes(content[: len(content) * 5 // 8])
    _write(tmp_path / "x-r03.tfrecords", [*_levels(8, 2), _levels(4)[0], b"\xff\xff"])
    (tmp_path / "text.tfrecord").write_text("these are no records")
    (tmp_path / "x-rxx.labels").write_bytes(b"\x93NUMPY\1\0\x0f\0{'descr': (((\n")
    survey = survey_records(str(tmp_path))
    assert {found.name: found.records for found in survey.sets} == {
        "./": 0,
        "x-r02.tfrecords": 2,
        "x-r03.tfrecords": 4,
    }
    told = "\n".join(survey.damage)
    assert len(survey.damage) == 5
    assert "text.tfrecord is damaged, truncated or no TFRecord file: record 0" in told
    assert "x-r02.tfrecords is damaged, truncated or no TFRecord file: record 2: the file ends" in told
    assert "x-r03.tfrecords: record 2: it is 4 x 4, of a level of 8 x 8" in told
    assert "x-r03.tfrecords: record 3: it is no tf.Example" in told
    assert "x-rxx.labels is no NumPy file" in told


def test_a_thousand_broken_records_take_four_lines(tmp_path):
    _write(tmp_path / "a.tfrecord", [b"\xff\xff"] * 1000)
    damage = survey_records(str(tmp_path)).damage
    assert len(damage) == 4 and damage[-1].endswith("a.tfrecord: 997 more records are damaged")


def test_where_there_is_nothing(tmp_path):
    with pytest.raises(UserError, match="absent does not exist"):
        survey_records(f"{tmp_path}/absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="has no files of records"):
        survey_records(str(tmp_path))


def test_pipes_links_to_nowhere_and_strange_names_do_not_stop_it(tmp_path):
    _write(tmp_path / "a.tfrecord", _levels(4))
    os.mkfifo(tmp_path / "pipe.tfrecord")
    (tmp_path / "gone.tfrecord").symlink_to(tmp_path / "nowhere")
    survey = survey_records(str(tmp_path))
    assert survey.sets[0].records == 4
    told = "\n".join(survey.damage)
    assert "pipe.tfrecord is no regular file" in told and "gone.tfrecord" in told and len(survey.damage) == 2
    (pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tfrecord"))).touch()
    with pytest.raises(UserError, match="whose name is not UTF-8"):
        survey_records(str(tmp_path))
