"""Records are found again by their places; TensorFlow's own writer says where they are."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.records.record_places import read_places, whole_file
from proganomaly.components.records.tfrecord_file import DamagedRecords

RECORDS = [b"first", b"", b"x" * (3 << 20), bytes(range(256))]


@pytest.fixture
def places(tmp_path):
    with tf.io.TFRecordWriter(f"{tmp_path}/file") as writer:
        for record in RECORDS:
            writer.write(record)
    return whole_file(f"{tmp_path}/file", [len(record) for record in RECORDS])


def test_all_records_and_some_of_them(places):
    assert list(read_places(places)) == RECORDS
    for which in ([3], [0, 2], [1, 2, 3], []):
        chosen = places.select(np.array(which, int))
        assert len(chosen) == len(which) and list(chosen.numbers) == which
        assert list(read_places(chosen)) == [RECORDS[number] for number in which]


def test_a_record_that_changed_is_named_after_those_before_it(places):
    with open(places.path, "r+b") as file:
        file.seek(int(places.starts[3]) + 12)
        file.write(b"!")
    reading = read_places(places)
    assert [next(reading) for _ in range(3)] == RECORDS[:3]
    with pytest.raises(DamagedRecords, match="record 3: the file changed while it was in use"):
        next(reading)


def test_a_file_that_is_gone_is_named(places):
    tf.io.gfile.remove(places.path)
    with pytest.raises(DamagedRecords, match=r"file is damaged.*record 0: it cannot be read") as error:
        list(read_places(places))
    assert "\n" not in str(error.value)
