"""The first of the damaged files of records that `fuzz_records.py` makes, and those that once failed."""

import io
import pathlib
import sys

import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.records.pyramid_labels import read_labels
from proganomaly.components.records.pyramid_record import encode_pyramid_record, read_shape

COUNT = 300


@pytest.fixture
def fuzz(monkeypatch):
    """The modules beside this file, which are made to run as scripts."""
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
    import record_seeds
    import record_target

    yield record_seeds, record_target
    for name in ("record_seeds", "record_target", "image_seeds", "mutate"):
        sys.modules.pop(name, None)


def test_damaged_files_are_read_or_refused(fuzz, tmp_path):
    seeds, target = fuzz
    files = seeds.record_seeds()
    for kind, records in files.items():
        assert target.run_records(kind, seeds.whole_file(kind, records), tmp_path / "files") == "read"
    outcomes = set()
    for number in range(COUNT):
        kind, content = seeds.damaged_records(0, number, files)
        outcomes.add((kind, target.run_records(kind, content, tmp_path / "files")))
    assert outcomes == {(kind, outcome) for kind in files for outcome in ("read", "damaged")}


# Of these NumPy's reader raises a SyntaxError, a TokenError, a MemoryError and more.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"'shape': (3", b"'shape': )3"),
        (b"'shape': (3", b"'shape': (\xa6"),
        (b"{'descr'", b"'''desc'"),
        (b"{'descr'", b"{'descr\0"),
        (b"(3, 3), }  ", b"(3, 9**99),"),
        (b"(3, 3), }     ", b"(3, 9999999),}"),
        (b"'<f4'", b"'|O8'"),
    ],
)
def test_classes_with_a_broken_header_are_refused(tmp_path, old, new):
    file = io.BytesIO()
    np.save(file, np.eye(3, dtype=np.float32))
    assert old in file.getvalue() and len(old) == len(new)
    (tmp_path / "x-rxx.labels").write_bytes(file.getvalue().replace(old, new))
    with pytest.raises(UserError, match=r"x-rxx\.labels is no NumPy file of labels"):
        read_labels(f"{tmp_path}/x-")


@pytest.mark.parametrize("length", [b"\xc0\xff\xff\xff\x7f", b"\xc0\xff\xff\xff\x1a"])
def test_a_value_that_says_it_has_gigabytes_is_refused(length):
    # Fuzzing found it: TensorFlow's own parser of Examples ends the process here.
    record = encode_pyramid_record(np.ones((8, 8, 3), np.uint8))
    place = record.index(b"\x0a\xc0\x01") + 1
    broken = record[:place] + length + record[place + len(length) :]
    with pytest.raises(UserError, match=r"no tf\.Example"):
        read_shape(broken)
