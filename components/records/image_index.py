"""What is known of every image without its pixels, one JSON line each: for splits, drift and the report."""

import dataclasses
import json
from collections.abc import Iterable, Iterator

import tensorflow as tf

from proganomaly.components.files import write_atomic

INDEX_FILE = "index.jsonl"
# Of earlier batches, to compare new ones with; their images are gone.
PREVIOUS_INDEX_FILE = "previous_index.jsonl"


@dataclasses.dataclass(frozen=True)
class IndexEntry:
    """One image of an `Examples` artifact.

    Attributes:
        path: As `ImageRecord.filename`.
        span: As `ImageRecord.span`.
        split: "train", "calibration" or "test".
        label: 0 normal, 1 anomalous, None unknown.
        defect_type: As `ImageRecord.defect_type`.
        group: Images of one group share a split; "" where an image is its own group.
        format: As `ImageRecord.format`.
        height: Height in pixels.
        width: Width in pixels.
        channels: Channels in the file: 1 to 4.
        brightness: See `images.features`.
        contrast: See `images.features`.
        sharpness: See `images.features`.
        digest: SHA-256 of size and pixels, hexadecimal: equal for copies under other names and formats.
        thumbnail: See `images.near_identical`, in base 64.
    """

    path: str
    span: int
    split: str
    label: int | None
    defect_type: str
    group: str
    format: str
    height: int
    width: int
    channels: int
    brightness: float
    contrast: float
    sharpness: float
    digest: str
    thumbnail: str


def write_index(folder: str, entries: Iterable[IndexEntry], name: str = INDEX_FILE) -> None:
    """Writes `index.jsonl`, or a file of another name, into a folder, sorted by span and path, atomically."""
    ordered = sorted(entries, key=lambda entry: (entry.span, entry.path))
    lines = [json.dumps(dataclasses.asdict(entry), ensure_ascii=False) for entry in ordered]
    write_atomic(f"{folder.rstrip('/')}/{name}", "".join(f"{line}\n" for line in lines))


def read_index(folder: str, name: str = INDEX_FILE) -> Iterator[IndexEntry]:
    """Reads a folder's `index.jsonl`, or a file of another name, sorted by span and path."""
    with tf.io.gfile.GFile(f"{folder.rstrip('/')}/{name}") as file:
        for line in file:
            yield IndexEntry(**json.loads(line))
