"""Images that cannot be used, one JSON line each: their path, the stage that found it, and the reason."""

import collections
import json
from collections.abc import Iterable

import tensorflow as tf

from proganomaly.components.files import write_atomic

QUARANTINE_FILE = "quarantine.jsonl"
# The stage of an image whose pixels are there already; such an entry has a `span` as well.
DUPLICATE = "duplicate"

# `path`, `stage` and `reason`.
Quarantined = dict[str, str]


def write_quarantine(folder: str, entries: Iterable[Quarantined]) -> None:
    """Writes `quarantine.jsonl` into a folder, sorted by path, atomically."""
    ordered = sorted(entries, key=lambda entry: (entry["path"], entry["reason"]))
    lines = [json.dumps(entry, ensure_ascii=False) for entry in ordered]
    write_atomic(f"{folder}/{QUARANTINE_FILE}", "".join(f"{line}\n" for line in lines))


def read_quarantine(folder: str) -> list[Quarantined]:
    """Reads a folder's `quarantine.jsonl`, sorted by path."""
    with tf.io.gfile.GFile(f"{folder}/{QUARANTINE_FILE}") as file:
        return [json.loads(line) for line in file]


def count_stages(entries: Iterable[Quarantined]) -> dict[str, int]:
    """Returns the number of entries by their stage, the most first."""
    return dict(collections.Counter(entry["stage"] for entry in entries).most_common())
