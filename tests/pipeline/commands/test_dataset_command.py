"""`proganomaly dataset` from its words to its folders."""

import struct

import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.pipeline.commands import dataset

SMALL = ["--crop-size", "16", "--train-images=2", "--calibration-images=1", "--test-good-images=1"]


def test_texture_twice_and_with_other_settings(tmp_path, capsys):
    out = str(tmp_path / "set")
    arguments = ["texture", out, *SMALL, "--images-per-defect", "1", "--texture", "gravel"]
    assert dataset.main(arguments) == 0
    assert dataset.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 14 files written",
        f"{out} is complete already: nothing to do",
    ]
    assert (tmp_path / "set/ground_truth/cutpaste/000_mask.png").exists()
    with pytest.raises(UserError, match="other settings"):
        dataset.main([*arguments, "--seed", "7"])


def test_one_class(tmp_path, capsys):
    images, labels, out = (str(tmp_path / name) for name in ("i", "l", "out"))
    with open(images, "wb") as file:
        file.write(b"\x00\x00\x08\x03" + struct.pack(">3I", 40, 2, 2) + bytes(range(160)))
    with open(labels, "wb") as file:
        file.write(
            b"\x00\x00\x08\x01" + struct.pack(">I", 40) + (np.arange(40) % 4).astype(np.uint8).tobytes()
        )
    assert dataset.main(["one-class", images, labels, out, "--normal", "3", "--test-limit", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "test", "train"]
    assert (tmp_path / "out/train/good").is_dir()
    assert "files written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["texture", "out", "--crop-sizes", "16"], "--crop-sizes"),
        (["texture", "out", "--crop-size", "big"], "crop.size"),
        (["texture", "out", "--crop-size", "4"], "crop size must be at least 16 and at most 147; received 4"),
        (["texture"], "required"),
        (["one-class", "nowhere", "nowhere", "out", "--normal", "1"], "nowhere does not exist"),
        (["one-class", "nowhere", "nowhere", "out"], "normal"),
        (["velvet"], "velvet"),
        ([], "texture,one-class"),
    ],
)
def test_mistakes_are_user_errors_and_make_nothing(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        dataset.main(words)
    assert list(tmp_path.iterdir()) == []
