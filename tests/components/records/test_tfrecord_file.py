"""Reading TFRecord files against TensorFlow's own writer, and damage that ends TensorFlow's own reader."""

import gzip
import pickle
import struct

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proganomaly.components.errors import UserError
from proganomaly.components.records.tfrecord_file import (
    DamagedRecords,
    is_gzipped,
    masked_crc,
    read_tfrecords,
)

RECORDS = [b"first", b"", b"x" * (3 << 20), bytes(range(256))]


def _written(path, records, compression="") -> bytes:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def _frame(content: bytes, length: int | None = None) -> bytes:
    """A record that may say another length of itself, with checksums that agree."""
    header = struct.pack("<Q", len(content) if length is None else length)
    return header + struct.pack("<I", masked_crc(header)) + content + struct.pack("<I", masked_crc(content))


def _read(path) -> tuple[list[bytes], str]:
    """What can be read, and what stands against the rest."""
    records = []
    try:
        for record in read_tfrecords(str(path)):
            records.append(record)
    except DamagedRecords as damage:
        assert damage.readable == len(records)
        return records, damage.reason
    return records, ""


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_reads_what_tensorflow_writes(tmp_path, compression):
    _written(tmp_path / "file", RECORDS, compression)
    assert _read(tmp_path / "file") == (RECORDS, "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=50), max_size=5))
def test_frames_are_those_of_tensorflow(tmp_path, records):
    assert _written(tmp_path / "file", records) == b"".join(map(_frame, records))
    assert _read(tmp_path / "file") == (records, "")


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_record_that_begins_like_a_gzipped_file_is_none(tmp_path, compression):
    record = bytes(0x8B1F)
    assert _written(tmp_path / "file", [record], compression).startswith(b"\x1f\x8b")
    assert _read(tmp_path / "file") == ([record], "")
    assert is_gzipped(str(tmp_path / "file")) == bool(compression)


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "file").touch()
    assert _read(tmp_path / "file") == ([], "")


# With 60 GB TensorFlow's reader ends the process.
@pytest.mark.parametrize("length", [4, 6, 1000, 60 * 10**9, 2**60, 2**64 - 6, 2**64 - 1])
@pytest.mark.parametrize("packed", [False, True])
def test_a_length_field_that_lies_costs_no_memory_and_no_records(tmp_path, length, packed):
    content = _frame(b"good") + _frame(b"wrong", length)
    (tmp_path / "file").write_bytes(gzip.compress(content) if packed else content)
    records, reason = _read(tmp_path / "file")
    assert records == [b"good"]
    assert "the file ends" in reason or "checksum" in reason or f"said to be {length} bytes" in reason


@pytest.mark.parametrize("packed", [False, True])
def test_every_cut_is_seen_except_between_records(tmp_path, packed):
    frames = [_frame(b"one"), _frame(b"three")]
    content = b"".join(frames)
    whole = {0: 0, len(frames[0]): 1, len(content): 2}
    for end in range(len(content)):
        cut = content[:end]
        (tmp_path / "file").write_bytes(gzip.compress(cut) if packed else cut)
        records, reason = _read(tmp_path / "file")
        assert records == [b"one", b"three"][: sum(end >= place for place in whole if place)]
        assert bool(reason) == (end not in whole)


def test_every_flipped_bit_is_seen(tmp_path):
    content = _frame(b"one") + _frame(b"two")
    for place in range(0, 8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        (tmp_path / "file").write_bytes(flipped)
        records, reason = _read(tmp_path / "file")
        assert reason and records == ([b"one"] if place >= 8 * len(_frame(b"one")) else [])


def test_a_broken_gzip_file_gives_what_was_whole(tmp_path):
    content = gzip.compress(_frame(b"one") + _frame(bytes(range(256)) * 8))
    (tmp_path / "file").write_bytes(content[:-20])
    records, reason = _read(tmp_path / "file")
    assert records == [b"one"] and reason


def test_a_gzipped_file_can_be_refused(tmp_path):
    _written(tmp_path / "file", [b"one"], "GZIP")
    with pytest.raises(DamagedRecords, match=r"file is damaged.*record 0: the file is gzipped"):
        list(read_tfrecords(str(tmp_path / "file"), allow_gzip=False))


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_is_no_file_is_told_in_one_line(tmp_path, name):
    with pytest.raises(UserError, match="cannot be read") as error:
        list(read_tfrecords(f"{tmp_path}/{name}"))
    assert "\n" not in str(error.value)


def test_the_error_travels_between_processes():
    damage = pickle.loads(pickle.dumps(DamagedRecords("a/file", 3, "a reason")))
    assert (damage.path, damage.readable, damage.reason) == ("a/file", 3, "a reason")
    assert str(damage) == str(DamagedRecords("a/file", 3, "a reason"))
