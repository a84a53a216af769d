"""Reads a span's images once: what came out is kept, and a span that has not changed is not read again.

A span's folder in the store holds `images-*.tfrecord` (Examples, not yet in splits), `index.jsonl`,
`quarantine.jsonl`, and, written last of all, `inspected.json`.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from proganomaly.components.files import write_atomic
from proganomaly.components.image_example_gen import inspection
from proganomaly.components.image_example_gen.listing import FileContent, ImageFile, ImageListing
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.sources import open_file
from proganomaly.components.image_example_gen.spans import Span
from proganomaly.components.image_example_gen.tiles import cut_record
from proganomaly.components.images import near_identical
from proganomaly.components.images.spec import Reading
from proganomaly.components.records.image_example import encode_image_example
from proganomaly.components.records.image_index import IndexEntry, read_index, write_index
from proganomaly.components.records.quarantine import Quarantined, read_quarantine, write_quarantine

QUARANTINED = "quarantined"
DONE_FILE = "inspected.json"
_SHARDS_FILE = "shards.json"
_SHARDS = "images-"
_SHARD_BYTES = 64 * 2**20
# More files than this are spread over the workers in batches, as the engine's cost is by element.
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class InspectedSpan:
    """A span in the store.

    Attributes:
        span: Which one.
        folder: Where what came out is.
    """

    span: Span
    folder: str

    @property
    def is_done(self) -> bool:
        """Whether it has been read to its end."""
        return tf.io.gfile.exists(f"{self.folder}/{DONE_FILE}")

    def shards(self) -> list[str]:
        """Returns the files of its Examples, sorted."""
        with tf.io.gfile.GFile(f"{self.folder}/{DONE_FILE}") as file:
            return [f"{self.folder}/{name}" for name in json.load(file)["shards"]]

    def index(self) -> Iterator[IndexEntry]:
        """Reads what is known of its images."""
        return read_index(self.folder)

    def quarantine(self) -> list[Quarantined]:
        """Reads what cannot be used: path, stage and reason."""
        return read_quarantine(self.folder)


def inspect_span(
    pipeline: beam.Pipeline,
    target: InspectedSpan,
    listing: ImageListing,
    settings: ImageExampleGenSettings,
    reading: Reading,
) -> None:
    """Adds to a Beam pipeline what reads a span's files; `finish_span` is to follow when it has run."""
    batches = [listing.files[i : i + _BATCH] for i in range(0, len(listing.files), _BATCH)]
    outputs = (
        pipeline
        | f"Files[{target.span.number}]" >> beam.Create(batches, reshuffle=False)
        | f"Spread[{target.span.number}]" >> beam.Reshuffle()
        | f"Inspect[{target.span.number}]"
        >> beam.ParDo(InspectFiles(target, listing, settings.max_pixels, reading)).with_outputs(
            QUARANTINED, main="index"
        )
    )
    for name, write in (("index", _write_rows), (QUARANTINED, _write_rejected)):
        _ = (
            outputs[name]
            | f"List-{name}[{target.span.number}]" >> beam.combiners.ToList()
            | f"Write-{name}[{target.span.number}]" >> beam.Map(write, target.folder)
        )


def finish_span(target: InspectedSpan) -> None:
    """Writes down that a span is complete; what workers left that died on the way is removed."""
    with tf.io.gfile.GFile(f"{target.folder}/{_SHARDS_FILE}") as file:
        shards = json.load(file)
    for name in tf.io.gfile.listdir(target.folder):
        if name.lstrip(".").startswith(_SHARDS) and name not in shards:
            tf.io.gfile.remove(f"{target.folder}/{name}")
    tf.io.gfile.remove(f"{target.folder}/{_SHARDS_FILE}")
    write_atomic(f"{target.folder}/{DONE_FILE}", json.dumps({"shards": shards}))


class InspectFiles(beam.DoFn):
    """Writes the images of files as Examples, and puts out a row for each, or the reason against it.

    Images go to a file of the bundle and are never sent around: engines hold what they send in memory. The
    rows come out when the file is complete; those of a bundle that died are lost with it, and its file, which
    no row names, is removed.
    """

    def __init__(self, target: InspectedSpan, listing: ImageListing, max_pixels: int, reading: Reading):
        self._target = target
        # Without its files: it goes to every worker.
        self._listing = dataclasses.replace(listing, files=())
        self._max_pixels = max_pixels
        self._reading = reading

    def start_bundle(self) -> None:
        """Begins without a file."""
        self._writer: _ShardWriter | None = None
        self._rows: list[tuple[str, IndexEntry]] = []

    def process(self, files: tuple[ImageFile, ...]) -> Iterator[Any]:
        """Inspects a batch of files."""
        for file in files:
            for content in open_file(self._listing, file):
                try:
                    self._write(content)
                except inspection.Rejected as rejected:
                    entry = {
                        "path": self._target.span.path_of(content.file.path),
                        "stage": rejected.stage,
                        "reason": rejected.reason,
                    }
                    yield beam.pvalue.TaggedOutput(QUARANTINED, entry)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Completes the file and puts out its rows."""
        if self._writer is not None:
            self._writer.close()
        window = GlobalWindow()
        for row in self._rows:
            yield WindowedValue(row, window.max_timestamp(), (window,))

    def _write(self, content: FileContent) -> None:
        span = self._target.span
        record, pixels = inspection.inspect(
            self._listing.root, content, self._max_pixels, self._reading.white_level, span.number
        )
        record = dataclasses.replace(record, filename=span.path_of(record.filename))
        if self._writer is not None and self._writer.size > _SHARD_BYTES:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._writer = _ShardWriter(self._target.folder)
        for tile, _ in cut_record(record, pixels, self._reading):
            self._writer.write(encode_image_example(tile))
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(pixels.data)
        entry = IndexEntry(
            path=record.filename,
            span=span.number,
            split=content.file.split,
            label=record.label,
            defect_type=record.defect_type,
            group=content.file.group,
            format=record.format,
            height=record.height,
            width=record.width,
            channels=record.channels,
            brightness=record.brightness,
            contrast=record.contrast,
            sharpness=record.sharpness,
            digest=digest.hexdigest(),
            thumbnail=near_identical.to_text(near_identical.thumbnail(pixels)),
        )
        self._rows.append((self._writer.name, entry))


class _ShardWriter:
    """A TFRecord file under a name of its own, hidden until it is complete."""

    def __init__(self, folder: str):
        self.name = f"{_SHARDS}{uuid.uuid4().hex}.tfrecord"
        self.size = 0
        self._folder = folder
        tf.io.gfile.makedirs(folder)
        self._writer = tf.io.TFRecordWriter(f"{folder}/.{self.name}")

    def write(self, serialized: bytes) -> None:
        self._writer.write(serialized)
        self.size += len(serialized)

    def close(self) -> None:
        self._writer.close()
        tf.io.gfile.rename(f"{self._folder}/.{self.name}", f"{self._folder}/{self.name}")


def _write_rows(rows: list[tuple[str, IndexEntry]], folder: str) -> None:
    write_index(folder, (entry for _, entry in rows))
    write_atomic(f"{folder}/{_SHARDS_FILE}", json.dumps(sorted({name for name, _ in rows})))


def _write_rejected(entries: list[Quarantined], folder: str) -> None:
    write_quarantine(folder, entries)
