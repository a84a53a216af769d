"""What is in files of records: how many, of which kind and shape, in which order; and what is damaged."""

import dataclasses
import hashlib
import io
import os
import re
from collections.abc import Iterator

import tensorflow as tf
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import RESOLUTIONS
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.pyramid_labels import LABELS_SUFFIX, read_labels
from proganomaly.components.records.pyramid_record import read_shape
from proganomaly.components.records.tfrecord_file import DamagedRecords, read_tfrecords

PYRAMID, ENCODED, OTHER = "pyramid level", "encoded images", "other tf.Examples"
_LEVEL = re.compile(r"(?:.*[^A-Za-z0-9])?r(\d\d)(?!\d).*")
# Files beside records that hold none.
_SIDE_FILES = (".json", ".jsonl", ".txt", ".md", ".csv", ".pbtxt", LABELS_SUFFIX)
# Records of one file that are named as damaged; the others are counted.
_TOLD = 3
# Types of pixels by Pillow's modes; "uint8" for all others.
_TYPES = {"I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32", "1": "bool"}


@dataclasses.dataclass
class RecordSet:
    """The records of a folder, or of a file that is a pyramid's level by its name.

    Attributes:
        name: Path relative to what was surveyed.
        files: Number of files.
        bytes: Their sizes together.
        records: Number of records that can be read.
        formats: Format -> number of records.
        shapes: "<channels> x <height> x <width> <type>" -> number of records; an encoded image's shape is
            that of its file, with its format.
        features: Names of features -> number of records.
        order: Hash of the records in their order, files by name; equal for equal sequences, however they are
            cut into files.
        content: Hash of the records in any order.
    """

    name: str
    files: int = 0
    bytes: int = 0
    records: int = 0
    formats: dict[str, int] = dataclasses.field(default_factory=dict)
    shapes: dict[str, int] = dataclasses.field(default_factory=dict)
    features: dict[str, int] = dataclasses.field(default_factory=dict)
    order: str = ""
    content: str = ""


@dataclasses.dataclass
class Survey:
    """What was found.

    Attributes:
        path: What was surveyed.
        sets: Sorted by name.
        labels: Files of a pyramid's classes: name -> "<images> x <classes>".
        damage: A line for whatever cannot be used, with file and number of the record.
        passed_over: Number of files that are not meant as records.
    """

    path: str
    sets: list[RecordSet] = dataclasses.field(default_factory=list)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    damage: list[str] = dataclasses.field(default_factory=list)
    passed_over: int = 0


def survey_records(path: str) -> Survey:
    """Reads every record of a file, or of all files below a folder, and survives whatever is in them.

    Args:
        path: On any file system that `tf.io.gfile` knows.

    Raises:
        UserError: there is no such file or folder, or the folder has no files that could hold records.
    """
    survey = Survey(path)
    groups: dict[str, list[str]] = {}
    for name in _names(path):
        if name.endswith(LABELS_SUFFIX):
            _survey_labels(survey, name)
        elif name != "" and name.endswith(_SIDE_FILES):
            survey.passed_over += 1
        else:
            groups.setdefault(_group(name), []).append(name)
    if not groups:
        raise UserError(f"{path} has no files of records")
    survey.sets = [_survey_group(survey, group, names) for group, names in sorted(groups.items())]
    return survey


def _names(path: str) -> list[str]:
    """Returns the visible files below a folder, relative and sorted; "" alone for a file."""
    if not tf.io.gfile.exists(path):
        raise UserError(f"{path} does not exist")
    if not tf.io.gfile.isdir(path):
        return [""]
    root = path.rstrip("/")
    try:
        names = [
            f"{folder.rstrip('/')}/{name}".removeprefix(f"{root}/")
            for folder, _, files in tf.io.gfile.walk(root)
            for name in files
        ]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} holds a file whose name is not UTF-8: {error.object!r}") from error
    return sorted(name for name in names if not any(part[0] in "._" for part in name.split("/")))


def _group(name: str) -> str:
    """Returns the set that a file belongs to: itself where its name is that of a level, else its folder."""
    folder, _, base = name.rpartition("/")
    return name if _LEVEL.fullmatch(base) or not name else f"{folder or '.'}/"


def _survey_group(survey: Survey, group: str, names: list[str]) -> RecordSet:
    found = RecordSet(group or survey.path)
    order, content = hashlib.sha256(), 0
    resolution = _resolution(group)
    for name in names:
        path = _join(survey.path, name)
        found.files += 1
        if os.path.exists(path) and not os.path.isfile(path):
            # To open a pipe would wait for somebody who writes to it.
            survey.damage.append(f"{path} is no regular file")
            continue
        problems: list[str] = []
        try:
            found.bytes += tf.io.gfile.stat(path).length
            for number, record in enumerate(read_tfrecords(path)):
                digest = hashlib.sha256(record).digest()
                order.update(digest)
                content += int.from_bytes(digest, "big")
                found.records += 1
                try:
                    _survey_record(found, record, resolution)
                except UserError as error:
                    problems.append(f"{path}: record {number}: {error}")
        except DamagedRecords as error:
            problems.append(str(error))
        except tf.errors.OpError as error:
            problems.append(f"{path}: {error.message}")
        survey.damage += problems[:_TOLD]
        if len(problems) > _TOLD:
            survey.damage.append(f"{path}: {len(problems) - _TOLD} more records are damaged")
    found.order = order.hexdigest()
    found.content = hashlib.sha256(f"{found.records}:{content}".encode()).hexdigest()
    return found


def _survey_record(found: RecordSet, record: bytes, resolution: int | None) -> None:
    """Adds a record to a set.

    Raises:
        UserError: the record is damaged, or not of its level.
    """
    try:
        features = parse_features(record)
    except ValueError as error:
        raise UserError(str(error)) from error
    names = sorted(features)
    _count(found.features, ", ".join(names))
    if names == ["data", "shape"]:
        _count(found.formats, PYRAMID)
        channels, height, width = read_shape(record)
        _count(found.shapes, f"{channels} x {height} x {width} uint8")
        if resolution and (height, width) != (resolution, resolution):
            raise UserError(f"it is {height} x {width}, of a level of {resolution} x {resolution}")
        return
    shapes = [shape for name in names for shape in _encoded_shapes(features[name])]
    _count(found.formats, ENCODED if shapes else OTHER)
    if shapes:
        # A mask has its image's size; what the image is, the first feature says that can be opened.
        _count(found.shapes, shapes[0])


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _encoded_shapes(feature: tf.train.Feature) -> Iterator[str]:
    """Yields the shape of an encoded image by its header."""
    for value in feature.bytes_list.value[:1]:
        try:
            with Image.open(io.BytesIO(value)) as image:
                kind = _TYPES.get(image.mode, "uint8")
                yield f"{len(image.getbands())} x {image.height} x {image.width} {kind} {image.format}"
        except Exception:  # Pillow raises many things about what is no image, or a broken one
            continue


def _survey_labels(survey: Survey, name: str) -> None:
    path = _join(survey.path, name)
    try:
        labels = read_labels(path.removesuffix(LABELS_SUFFIX))
    except (UserError, tf.errors.OpError) as error:
        survey.damage.append(" ".join(str(error).split()))
        return
    if labels is not None:
        survey.labels[name] = f"{labels.shape[0]} x {labels.shape[1]}"


def _resolution(name: str) -> int | None:
    """Returns the resolution that a file's or folder's name stands for, None if it names no level."""
    match = _LEVEL.fullmatch(name.rstrip("/").rpartition("/")[2])
    resolution = 2 ** int(match[1]) if match else None
    return resolution if resolution in RESOLUTIONS else None


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder
