"""Cuts a split into shards of shuffled images and writes a shard's pyramid.

Images are shuffled by a hash of their file name: the order looks random, is the same in every run, and does
not change when others are added. A shard is a range of hashes, is transformed as one batch and written by one
worker, so decoded pixels are never sent around: only the encoded images are.
"""

import hashlib
import math
from collections.abc import Iterable

import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders import example_coder

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid.level_writer import level_writer
from proganomaly.components.pyramid.preprocessing import PIXELS
from proganomaly.components.records.image_example import FILENAME, decode_image_example

_HASH_BYTES = 7  # Beam's integers have 64 bits, signed


def count_shards(images: int, spec: ImageSpec, shard_mebibytes: int) -> int:
    """Returns how many shards keep a file of the largest level near the wanted size."""
    image_bytes = spec.resolution**2 * spec.channels
    return max(1, math.ceil(images * image_bytes / (shard_mebibytes * 2**20)))


def key_by_shard(serialized: bytes, num_shards: int) -> tuple[int, tuple[int, bytes]]:
    """Returns (shard, (place in the shuffled order, Example))."""
    place = _place(decode_image_example(serialized).filename)
    return _shard(place, num_shards), (place, serialized)


def decode_shard(keyed: tuple[int, Iterable[tuple[int, bytes]]], schema: bytes) -> pa.RecordBatch:
    """Turns a shard's Examples, in their shuffled order, into one batch for the transform graph."""
    _, examples = keyed
    decoder = example_coder.ExamplesToRecordBatchDecoder(schema)
    return decoder.DecodeBatch([serialized for _, serialized in sorted(examples)])


def write_shard(transformed: tuple[pa.RecordBatch, dict], split_folder: str, num_shards: int) -> int:
    """Writes one shard of every level, `<split_folder>/rNN/data-<shard>-of-<num_shards>.tfrecord`.

    Args:
        transformed: A batch as TransformDataset puts it out; all of one shard.
        split_folder: Where the split's levels go.
        num_shards: Number of the split's shards.

    Returns:
        The number of images.
    """
    batch, _ = transformed
    filenames = _column(batch, FILENAME)
    shard = _shard(_place(filenames[0].decode("utf-8")), num_shards)
    name = f"data-{shard:05d}-of-{num_shards:05d}.tfrecord"
    with level_writer(lambda level: f"{split_folder}/{level}/{name}") as write:
        for pixels in _column(batch, PIXELS):
            write(tf.io.parse_tensor(pixels, tf.uint8).numpy())
    return len(filenames)


def _place(filename: str) -> int:
    """Returns an image's place in the shuffled order, from 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.sha256(filename.encode("utf-8")).digest()[:_HASH_BYTES], "big")


def _shard(place: int, num_shards: int) -> int:
    return place * num_shards >> (8 * _HASH_BYTES)


def _column(batch: pa.RecordBatch, name: str) -> list[bytes]:
    """Returns a column of one value per row."""
    return batch.column(batch.schema.get_field_index(name)).flatten().to_pylist()
