"""Writing a data set: once, again, interrupted, and into the wrong folder."""

import json

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.images.dataset_folder import write_dataset

SETTINGS = {"seed": 1, "limit": None}


def _images(number=3, fail_at=None):
    for index in range(number):
        if index == fail_at:
            raise KeyboardInterrupt
        yield f"train/good/{index}.png", np.full((4, 5), index, np.uint8)


def _state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_writes_once(tmp_path):
    folder = tmp_path / "new" / "set"
    assert write_dataset(f"{folder}/", SETTINGS, _images()) == 3
    assert np.asarray(Image.open(folder / "train/good/2.png")).tolist() == [[2] * 5] * 4
    assert json.loads((folder / "dataset.json").read_text()) == {"settings": SETTINGS, "files": 3}
    assert {path.name for path in folder.iterdir()} == {"train", "dataset.json"}
    before = _state(folder)
    assert write_dataset(str(folder), SETTINGS, _images()) is None
    assert _state(folder) == before


def test_what_the_user_added_stays(tmp_path):
    write_dataset(str(tmp_path), SETTINGS, _images())
    (tmp_path / "train/good/mine.png").write_bytes(b"")
    before = _state(tmp_path)
    assert write_dataset(str(tmp_path), SETTINGS, _images()) is None
    assert _state(tmp_path) == before


@pytest.mark.parametrize("fail_at", [1, 2])
def test_interruption_is_repaired(tmp_path, fail_at):
    with pytest.raises(KeyboardInterrupt):
        write_dataset(str(tmp_path), SETTINGS, _images(fail_at=fail_at))
    assert not (tmp_path / "dataset.json").exists()
    assert write_dataset(str(tmp_path), SETTINGS, _images()) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"train", "dataset.json"}


def test_missing_image_is_repaired(tmp_path):
    write_dataset(str(tmp_path), SETTINGS, _images())
    (tmp_path / "train/good/1.png").unlink()
    assert write_dataset(str(tmp_path), SETTINGS, _images()) == 3
    assert (tmp_path / "train/good/1.png").exists()


@pytest.mark.parametrize("complete", [True, False])
def test_other_settings_are_refused(tmp_path, complete):
    if complete:
        write_dataset(str(tmp_path), SETTINGS, _images())
    else:
        with pytest.raises(KeyboardInterrupt):
            write_dataset(str(tmp_path), SETTINGS, _images(fail_at=1))
    before = _state(tmp_path)
    with pytest.raises(UserError, match="holds a data set with other settings"):
        write_dataset(str(tmp_path), {"seed": 2}, _images())
    assert _state(tmp_path) == before


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="is not empty and holds no data set"):
        write_dataset(str(tmp_path), SETTINGS, _images())
    with pytest.raises(UserError, match=r"thesis\.txt is a file"):
        write_dataset(str(tmp_path / "thesis.txt"), SETTINGS, _images())
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(UserError, match=r"dataset\.json is damaged"):
        write_dataset(str(tmp_path), SETTINGS, _images())


def test_nothing_is_made_when_the_images_cannot_be(tmp_path):
    def broken():
        raise UserError("no such file")
        yield

    with pytest.raises(UserError, match="no such file"):
        write_dataset(str(tmp_path / "out"), SETTINGS, broken())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file/set", "/proc/set"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, out):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"the data set folder .*{out} cannot be written to"):
        write_dataset(str(tmp_path / out), SETTINGS, _images())
