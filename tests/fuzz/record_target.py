"""What a damaged file of records goes through: every reader of ours."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from record_seeds import SIDE

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.listing import ImageFile, ImageListing
from proganomaly.components.image_example_gen.sources import open_file
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.image_example import read_image_examples
from proganomaly.components.records.pyramid_comparison import compare_pyramids
from proganomaly.components.records.pyramid_labels import read_labels
from proganomaly.components.records.pyramid_record import (
    check_records,
    count_records,
    find_levels,
    fingerprint,
    parse_pyramid_records,
    read_shape,
)
from proganomaly.components.records.survey import survey_records
from proganomaly.components.records.tfrecord_file import DamagedRecords, read_tfrecords

_MOST_RECORDS = 1000
_parse = tf.function(
    lambda record: parse_pyramid_records(record, SIDE, 3), input_signature=[tf.TensorSpec([None], tf.string)]
)


def run_records(kind: str, content: bytes, folder: pathlib.Path) -> str:
    """Returns "read" where a file can be read to its end, "damaged" where it cannot.

    Args:
        kind: See `record_seeds`.
        content: The file.
        folder: Where to write it; emptied before.

    Raises:
        AssertionError: readers contradict each other, or an error is not one line.
        Exception: whatever else than a UserError a reader raises.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind == "labels":
        (folder / "x-rxx.labels").write_bytes(content)
        outcomes = [_tried(read_labels, f"{folder}/x-"), _tried(survey_records, str(folder))]
        return outcomes[0]
    path = folder / ("x-r03.tfrecords" if kind == "pyramid" else "x.tfrecord")
    path.write_bytes(content)
    records, outcome = _read(str(path))
    survey = survey_records(str(folder))
    assert sum(found.records for found in survey.sets) == len(records)
    assert all(line and "\n" not in line for line in survey.damage)
    assert outcome == "read" or survey.damage
    listing = ImageListing(str(folder), "pyramid" if kind == "pyramid" else "tfrecords", ())
    contents = list(open_file(listing, ImageFile(path.name)))
    # Every record is accounted for, and the damage once more.
    assert len(contents) == len(records) + (outcome == "damaged" or not records), (
        len(contents),
        len(records),
    )
    assert all((one.image is None) == bool(one.file.problem) for one in contents)
    if kind == "pyramid":
        _run_pyramid(folder, path, records)
    else:
        _tried(lambda: list(read_image_examples(str(folder))))
    return outcome


def _run_pyramid(folder: pathlib.Path, path: pathlib.Path, records: list[bytes]) -> None:
    _tried(count_records, str(path))
    _tried(check_records, [str(path)], SIDE, 3)
    _tried(lambda: fingerprint(find_levels(str(folder))))
    _tried(compare_pyramids, str(folder), str(folder))
    for record in records:
        # What training reads in its graph is what is accepted here.
        accepted = False
        with contextlib.suppress(UserError):
            accepted = read_shape(record) == (3, SIDE, SIDE)
        if accepted:
            assert _parse(tf.constant([record])).shape == (1, SIDE, SIDE, 3)
        elif _is_example(record):
            # What is no tf.Example is kept from TensorFlow 2.16, as a value that says it has 2 GB ends the
            # process. Its messages may hold a record's bytes and be no text.
            with contextlib.suppress(tf.errors.InvalidArgumentError, UnicodeDecodeError):
                _parse(tf.constant([record]))


def _is_example(record: bytes) -> bool:
    try:
        parse_features(record)
    except ValueError:
        return False
    return True


def _read(path: str) -> tuple[list[bytes], str]:
    records: list[bytes] = []
    try:
        for record in _bounded(read_tfrecords(path)):
            records.append(record)
    except DamagedRecords as error:
        assert error.readable == len(records) and _is_line(error)
        return records, "damaged"
    return records, "read"


def _bounded(records: Iterator[bytes]) -> Iterator[bytes]:
    for number, record in enumerate(records):
        assert number < _MOST_RECORDS
        yield record


def _tried(read: Callable[..., Any], *arguments: Any) -> str:
    try:
        read(*arguments)
    except UserError as error:
        assert _is_line(error)
        return "damaged"
    return "read"


def _is_line(error: Exception) -> bool:
    return bool(str(error)) and len(str(error).splitlines()) == 1
