"""Atomic writing: the old content stays until the new one is complete."""

import pytest

from proganomaly.components import files


def test_writes_text_and_bytes_into_new_folders(tmp_path):
    path = tmp_path / "a" / "b" / "text"
    files.write_atomic(str(path), "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    files.write_atomic(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_writes_into_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_atomic("here", "x")
    assert (tmp_path / "here").read_text() == "x"


def test_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "text"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(str(path)) as beside:
        (tmp_path / beside).write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
