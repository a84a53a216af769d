"""Files of records, a few hundred bytes large, and damage that gets past their checksums."""

import gzip
import io
import random
import struct

import numpy as np
import tensorflow as tf
from image_seeds import image_seeds
from mutate import mutate

from proganomaly.components.records.image_example import ImageRecord, encode_image_example
from proganomaly.components.records.pyramid_record import encode_pyramid_record
from proganomaly.components.records.tfrecord_file import masked_crc

SIDE = 8
_LENGTHS = (0, 1, 11, 12, 15, 16, 2**24, 2**30, 2**31 - 1, 2**31, 2**32, 60 * 10**9, 2**60, 2**63, 2**64 - 6)


def record_seeds() -> dict[str, list[bytes]]:
    """Returns records by the kind of file that they make; those of "labels" are the file itself."""
    rng = np.random.default_rng(0)
    images = image_seeds()
    own = ImageRecord(
        images["png-rgb"], "train/a.png", "png", 11, 13, 3, 0.5, 0.2, 0.1, 1, "cut", images["png-1"]
    )
    foreign = {"image/encoded": images["jpeg-grey"], "image/class/label": 3, "image/filename": b"b.jpg"}
    labels = io.BytesIO()
    np.save(labels, np.eye(3, dtype=np.float32))
    return {
        "pyramid": [encode_pyramid_record(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for _ in range(3)],
        "own": [encode_image_example(own), encode_image_example(own)],
        "foreign": [_example(foreign)] * 2,
        "gzip": [_example(foreign), _example({"image": images["png-16"], "label": 1})],
        "labels": [labels.getvalue()],
    }


def damaged_records(seed: int, index: int, seeds: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """Returns the kind of file that number `index` is, and its content."""
    rng = random.Random(f"{seed} {index}")
    kinds = list(seeds)
    kind = kinds[index % len(kinds)]
    records = list(seeds[kind])
    other = rng.choice(seeds[rng.choice(kinds)])
    if kind == "labels":
        return kind, mutate(records[0], rng, other)
    way = rng.random()
    place = rng.randrange(len(records))
    if way < 0.25:  # as a disk would: checksums do not fit
        content = mutate(b"".join(map(_frame, records)), rng, _frame(other))
    elif way < 0.75:  # as malice would: what is inside is broken, checksums fit
        records[place] = mutate(records[place], rng, other)
        content = b"".join(map(_frame, records))
    else:  # lengths that lie, with checksums that fit
        frames = [_frame(record) for record in records]
        length = rng.choice((*_LENGTHS, len(records[place]) + rng.choice((-1, 1))))
        frames[place] = _frame(records[place], length)
        content = b"".join(frames)
    if kind == "gzip":
        content = gzip.compress(content, mtime=0)
        content = mutate(content, rng, other) if rng.random() < 0.5 else content
    return kind, content


def whole_file(kind: str, records: list[bytes]) -> bytes:
    """Returns the undamaged file of a kind."""
    content = records[0] if kind == "labels" else b"".join(map(_frame, records))
    return gzip.compress(content, mtime=0) if kind == "gzip" else content


def _frame(content: bytes, length: int | None = None) -> bytes:
    header = struct.pack("<Q", len(content) if length is None else length)
    return header + struct.pack("<I", masked_crc(header)) + content + struct.pack("<I", masked_crc(content))


def _example(values: dict[str, bytes | int]) -> bytes:
    example = tf.train.Example()
    for name, value in values.items():
        if isinstance(value, bytes):
            example.features.feature[name].bytes_list.value.append(value)
        else:
            example.features.feature[name].int64_list.value.append(value)
    return example.SerializeToString(deterministic=True)
