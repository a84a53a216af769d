"""Writes inspected images into their splits."""

import collections
import contextlib
import hashlib
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf

from proganomaly.components.files import replacing
from proganomaly.components.images.tiling import source_name
from proganomaly.components.records.example import parse_features
from proganomaly.components.records.image_example import FILENAME
from proganomaly.components.records.image_index import read_index
from proganomaly.components.records.pyramid_record import read_records


class RouteShard(beam.DoFn):
    """Copies the Examples of a file into a file of each split; those that `index.jsonl` lacks are left out.

    A file's name is a function of the one that it comes from, and it appears when it is complete: a worker
    that does the work of one that died writes the same file once more.
    """

    def __init__(self, uri: str, in_tiles: bool):
        self._uri = uri
        self._in_tiles = in_tiles

    def setup(self) -> None:
        """Reads which image belongs to which split."""
        self._splits = {entry.path: entry.split for entry in read_index(self._uri)}

    def process(self, shard: str) -> Iterator[tuple[str, int]]:
        """Puts out (split, number of images) for each split that the file has images of."""
        name = f"data-{hashlib.sha256(shard.rpartition('/')[2].encode()).hexdigest()[:16]}.tfrecord"
        writers: dict[str, tf.io.TFRecordWriter] = {}
        images: dict[str, set[str]] = collections.defaultdict(set)
        with contextlib.ExitStack() as stack:
            for serialized in read_records(shard):
                path = _filename(serialized)
                if self._in_tiles:
                    path = source_name(path)
                split = self._splits.get(path)
                if split is None:
                    continue
                if split not in writers:
                    beside = stack.enter_context(replacing(f"{self._uri}/Split-{split}/{name}"))
                    writers[split] = stack.enter_context(tf.io.TFRecordWriter(beside))
                writers[split].write(serialized)
                images[split].add(path)
        for split, paths in images.items():
            yield split, len(paths)


def _filename(serialized: bytes) -> str:
    """Returns the file name in an Example."""
    return parse_features(serialized)[FILENAME].bytes_list.value[0].decode("utf-8")
