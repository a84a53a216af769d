"""`proganomaly dataset` from its words to its folders."""

import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import list_images
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


def test_tfds_as_a_pyramid_and_as_a_folder(tmp_path, capsys):
    out, folder, data = (str(tmp_path / name) for name in ("pyramid", "folder", "data"))
    pyramid = ["tfds", "fashion_mnist", out, "--pyramid", "--resolution", "8", "--data-dir", data]
    with tfds.testing.mock_data(num_examples=12):
        assert dataset.main(pyramid) == 0
        assert dataset.main(["tfds", "mnist", folder, "--normal", "3", "--data-dir", data, "--limit=2"]) == 0
    assert dataset.main(pyramid) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out}: 3 files written"
    assert lines[-1] == f"{out} is complete already: nothing to do"
    assert sorted(path.name for path in (tmp_path / "pyramid").iterdir()) == [
        "dataset.json",
        "fashion_mnist-r02.tfrecords",
        "fashion_mnist-r03.tfrecords",
        "fashion_mnist-rxx.labels",
    ]
    listing = list_images(folder)
    # There is no folder for calibration: the hash decides.
    assert 1 <= listing.count("") <= 2
    assert all(image.defect_type.startswith("class-") or image.label == 0 for image in listing.files)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["texture", "out", "--crop-sizes", "16"], "--crop-sizes"),
        (["texture", "out", "--crop-size", "big"], "crop.size"),
        (["texture", "out", "--crop-size", "4"], "crop size must be at least 16 and at most 147; received 4"),
        (["texture"], "required"),
        (["one-class", "nowhere", "nowhere", "out", "--normal", "1"], "nowhere does not exist"),
        (["one-class", "nowhere", "nowhere", "out"], "normal"),
        (["tfds", "mnits", "out"], "knows no data set mnits; did you mean mnist?"),
        (["tfds", "mnist", "out", "--pyramid", "--normal=3"], "leave out --normal or --pyramid"),
        (["tfds", "mnist", "out", "--resolution=big"], "resolution must be int or null"),
        (["velvet"], "velvet"),
        ([], "texture,one-class,tfds"),
    ],
)
def test_mistakes_are_user_errors_and_make_nothing(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        dataset.main(words)
    assert list(tmp_path.iterdir()) == []
