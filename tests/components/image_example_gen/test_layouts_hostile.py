"""Folders as they should not be: each thing in them is listed with what is wrong, and nothing hangs."""

import os
import socket
import unicodedata

import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.listing import fingerprint
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"x")
    return folder


def _list(root, **settings):
    return list_images(str(root), ImageExampleGenSettings(layout="flat", **settings))


def _problems(listing):
    return {file.path: file.problem for file in listing.files if file.problem}


def _paths(listing):
    return [file.path for file in listing.files if not file.problem]


def test_any_name_that_is_utf8_is_a_name_of_its_own(root):
    names = [
        "a b.png",
        "a\nb.png",
        "a\"b'.png",
        "a\\b.png",
        "#1.png",
        "*[0].png",
        "雪.png",
        "%20.png",
        "-n.png",
    ]
    names += [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    for name in names:
        (root / name).write_bytes(name.encode())
    assert _paths(_list(root)) == sorted(["0.png", *names])


def test_names_that_are_not_utf8(root):
    with open(os.fsencode(root) + b"/\xff\xfe.png", "wb") as file:
        file.write(b"x")
    os.mkdir(os.fsencode(root) + b"/\xe9")
    open(os.fsencode(root) + b"/\xff.txt", "wb").close()
    listing = _list(root)
    assert _problems(listing) == {
        r"\xff\xfe.png": "its name is not UTF-8",
        r"\xe9": "its name is not UTF-8",
    }
    assert listing.passed_over == 1
    fingerprint(listing)


def test_links(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.png").write_bytes(b"x")
    (root / "sub").mkdir()
    (root / "sub/2.png").write_bytes(b"x")
    links = {
        "inside.png": root / "0.png",
        "out.png": outside / "1.png",
        "out": outside,
        "nowhere.png": root / "gone.png",
        "self.png": root / "self.png",
        "sub/up": root,
        "again": root / "sub",
        "sub/../also": root / "sub",
        "data2.png": tmp_path / "data2.png",
    }
    (tmp_path / "data2.png").write_bytes(b"beside a root whose name its own begins with")
    for name, target in links.items():
        (root / name).symlink_to(target)
    listing = _list(root)
    out = "a link out of the image folder (see --ingest.follow_links)"
    circle = "a link in a circle, to a folder that it is in"
    problems = _problems(listing)
    twice = {path for path, problem in problems.items() if "another link" in problem}
    assert len(twice) == 1 and twice < {"again", "also"}
    (seen,) = {"again", "also"} - twice
    assert {path: problem for path, problem in problems.items() if path not in twice} == {
        "out.png": out,
        "out": out,
        "data2.png": out,
        "nowhere.png": "a link to nowhere: No such file or directory",
        "self.png": "a link in a circle",
        "sub/up": circle,
        f"{seen}/up": circle,
    }
    assert _paths(listing) == sorted(["0.png", "inside.png", "sub/2.png", f"{seen}/2.png"])

    followed = _list(root, follow_links=True)
    assert {"out.png", "out/1.png", "data2.png"} <= set(_paths(followed))
    assert set(_problems(followed)) == set(problems) - {"out.png", "out", "data2.png"}


def test_links_from_each_folder_to_each_other_end(root):
    for i in range(12):
        (root / f"d{i}").mkdir()
        (root / f"d{i}/0.png").write_bytes(b"x")
    for i in range(12):
        for j in range(12):
            (root / f"d{i}/to{j}").symlink_to(root / f"d{j}")
    # Without a limit there are more ways than 12!.
    assert len(_list(root).files) < 12**3


def test_what_is_no_file(root, monkeypatch):
    os.mkfifo(root / "pipe.png")
    (root / "linked.png").symlink_to(root / "pipe.png")
    monkeypatch.chdir(root)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        assert _problems(_list(root)) == {
            "pipe.png": "no file but a named pipe",
            "linked.png": "no file but a named pipe",
            "socket.png": "no file but a socket",
        }


def test_folders_that_cannot_be_read(root, monkeypatch):
    (root / "locked").mkdir()
    real = os.scandir

    def scandir(path):  # root, who runs many a test, reads everything
        if os.path.basename(os.fsencode(path).rstrip(b"/")) == b"locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert _problems(_list(root)) == {"locked": "cannot be read: Permission denied"}
    with pytest.raises(UserError, match=r"the image folder .*locked cannot be read: Permission denied"):
        _list(root / "locked")
    monkeypatch.undo()


def test_an_empty_split_says_what_stands_in_its_place(tmp_path):
    (tmp_path / "train/good").mkdir(parents=True)
    (tmp_path / "train/good/0.png").symlink_to("gone")
    with pytest.raises(UserError, match=r"train/good has no images \(train/good/0.png: a link to nowhere"):
        list_images(str(tmp_path))


def test_folders_deeper_than_recursion(root):
    folder = os.open(root, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    try:
        assert _paths(_list(root)) == ["0.png"]
    finally:
        os.removedirs(root / "/".join(["d"] * 1100))  # pytest's own way to remove folders is recursive
