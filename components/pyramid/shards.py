"""Cuts a split into shards of shuffled images.

Images are shuffled by a hash of their Examples: the order looks random, hangs on nothing but the images, and
does not change when others are added. A shard is a range of hashes; one worker writes it.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid.inventory import Inventory
from proganomaly.components.records.record_places import RecordPlaces, read_places

# What decides on a shard: the hash's upper half, so that a product with the number of shards fits 64 bits.
_SHARD_BITS = np.uint64(32)
# Images of this many bytes, encoded and decoded, are handled together: enough to make the call itself cheap.
_BATCH_BYTES = 16 * 2**20

ShardPart = tuple[RecordPlaces, NDArray[np.uint64]]


def count_shards(images: int, spec: ImageSpec, shard_mebibytes: int) -> int:
    """Returns how many shards keep a file of the largest level near the wanted size."""
    return max(1, math.ceil(images * _image_bytes(spec) / (shard_mebibytes * 2**20)))


def cut_into_shards(inventory: Inventory, num_shards: int) -> Iterator[tuple[int, ShardPart]]:
    """Yields (shard, places and hashes of those images of a file that belong there)."""
    shards = (inventory.keys >> _SHARD_BITS) * np.uint64(num_shards) >> _SHARD_BITS
    for shard in np.unique(shards):
        which = shards == shard
        yield int(shard), (inventory.places.select(which), inventory.keys[which])


def read_shard(parts: Iterable[ShardPart], spec: ImageSpec) -> Iterator[tuple[list[str], list[bytes]]]:
    """Reads a shard's Examples in their shuffled order, batch by batch.

    Examples of one hash (equal ones, and of those that differ and are equally long one pair in 2^32) come in
    the order of their files.

    Args:
        parts: Of any files, in any order.
        spec: Decides, with the lengths of the records, how many make a batch.

    Yields:
        For every Example "file: record number", for messages, and the serialised Example.
    """
    ordered = sorted(parts, key=lambda part: part[0].path)
    places = [places for places, _ in ordered]
    files = np.repeat(np.arange(len(places)), [len(one) for one in places])
    rows = np.concatenate([np.arange(len(one)) for one in places])
    order = np.argsort(np.concatenate([keys for _, keys in ordered]), kind="stable")
    sizes = np.concatenate([one.lengths for one in places])[order] + _image_bytes(spec)
    batches = (np.cumsum(sizes) - sizes) // _BATCH_BYTES
    for begin in np.flatnonzero(np.diff(batches, prepend=-1)):
        batch = order[begin : np.searchsorted(batches, batches[begin], side="right")]
        yield _read_batch(places, files[batch], rows[batch])


def _read_batch(
    places: list[RecordPlaces], files: np.ndarray, rows: np.ndarray
) -> tuple[list[str], list[bytes]]:
    """Reads rows of files: every file once and from its begin to its end, whatever the order."""
    names, contents = [""] * len(files), [b""] * len(files)
    for file in np.unique(files):
        (wanted,) = np.nonzero(files == file)
        wanted = wanted[np.argsort(rows[wanted])]
        chosen = places[file].select(rows[wanted])
        for place, number, content in zip(wanted, chosen.numbers, read_places(chosen), strict=True):
            names[place], contents[place] = f"{chosen.path}: record {number}", content
    return names, contents


def _image_bytes(spec: ImageSpec) -> int:
    return spec.resolution**2 * spec.channels
