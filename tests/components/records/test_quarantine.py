"""The list of images that cannot be used."""

import json

from proganomaly.components.records.quarantine import (
    DUPLICATE,
    QUARANTINE_FILE,
    count_stages,
    read_quarantine,
    write_quarantine,
)

ENTRIES = [
    {"path": "b.png", "stage": "decode", "reason": "truncated"},
    {"path": "a.png", "stage": "list", "reason": "a link"},
    # Line breaks of all kinds: one is escaped by JSON, the others are not.
    {"path": "c\u2028\x85d\ne.png", "stage": DUPLICATE, "reason": "the same pixels as ü.png", "span": "7"},
    {"path": "z.png", "stage": "decode", "reason": "no end"},
]


def test_entries_come_back_sorted_by_path(tmp_path):
    write_quarantine(str(tmp_path), ENTRIES)
    assert read_quarantine(str(tmp_path)) == [ENTRIES[i] for i in (1, 0, 2, 3)]
    lines = (tmp_path / QUARANTINE_FILE).read_text("utf-8").split("\n")
    assert [json.loads(line)["path"] for line in lines[:-1]] == [
        "a.png",
        "b.png",
        "c\u2028\x85d\ne.png",
        "z.png",
    ]


def test_no_entries_are_an_empty_file(tmp_path):
    write_quarantine(str(tmp_path), [])
    assert (tmp_path / QUARANTINE_FILE).read_bytes() == b""
    assert read_quarantine(str(tmp_path)) == []


def test_stages_are_counted_the_most_first():
    assert list(count_stages(ENTRIES).items()) == [("decode", 2), ("list", 1), (DUPLICATE, 1)]
