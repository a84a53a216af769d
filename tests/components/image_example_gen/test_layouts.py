"""Which files of a folder are images, of which split, with which mask; and when that changes."""

import os

import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import ImageFile, fingerprint, list_images


def _touch(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())


def test_folders_by_split_and_kind_with_masks(tmp_path):
    _touch(
        tmp_path,
        "train/good/b.png",
        "train/good/a.JPG",
        "train/good/camera 1/ü.png",
        "test/good/0.png",
        "test/big scratch/000.png",
        "test/big scratch/001.jpg",
        "test/big scratch/002.png",
        "test/big scratch/sub/000.png",
        "ground_truth/big scratch/000_mask.png",
        "ground_truth/big scratch/001.png",
        "ground_truth/big scratch/sub/000_mask.png",
        "ground_truth/big scratch/999_mask.png",
    )
    listing = list_images(f"{tmp_path}/")
    kind = "big scratch"
    assert listing.root == str(tmp_path)
    assert listing.images == (
        ImageFile(f"test/{kind}/000.png", "test", 1, kind, f"ground_truth/{kind}/000_mask.png"),
        ImageFile(f"test/{kind}/001.jpg", "test", 1, kind, f"ground_truth/{kind}/001.png"),
        ImageFile(f"test/{kind}/002.png", "test", 1, kind, None),
        ImageFile(f"test/{kind}/sub/000.png", "test", 1, kind, f"ground_truth/{kind}/sub/000_mask.png"),
        ImageFile("test/good/0.png", "test", 0, "good", None),
        ImageFile("train/good/a.JPG", "train", 0, "good", None),
        ImageFile("train/good/b.png", "train", 0, "good", None),
        ImageFile("train/good/camera 1/ü.png", "train", 0, "good", None),
    )
    assert not listing.has_calibration
    assert listing.unused_masks == (f"ground_truth/{kind}/999_mask.png",)


def test_calibration_folder(tmp_path):
    _touch(tmp_path, "train/good/0.png", "calibration/good/0.png")
    listing = list_images(str(tmp_path))
    assert listing.has_calibration
    assert [(image.path, image.split) for image in listing.images] == [
        ("calibration/good/0.png", "calibration"),
        ("train/good/0.png", "train"),
    ]
    assert listing.count("calibration") == 1 and listing.count("test") == 0


def test_flat_folder_without_what_stands_beside(tmp_path):
    _touch(
        tmp_path,
        "1.png",
        "2.tif",
        "scan",
        "notes.txt",
        "labels.CSV",
        "dataset.json",
        ".hidden.png",
        "old/3.png",
    )
    listing = list_images(str(tmp_path))
    # Unknown formats count as images: they are to be quarantined, not dropped in silence.
    assert [image.path for image in listing.images] == ["1.png", "2.tif", "scan"]
    assert {image.split for image in listing.images} == {"train"}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "has neither images nor a folder train/good"),
        (["notes.txt"], "has neither images nor a folder train/good"),
        (["train/0.png"], "train/good has no images"),
        (["train/good/notes.txt", "test/good/0.png"], "train/good has no images"),
        (["train/good/0.png", "calibration/notes.txt"], "calibration/good has no images"),
        (
            ["train/good/0.png", "train/bad/0.png"],
            "may hold only normal images, in train/good; found train/bad",
        ),
    ],
)
def test_folders_that_cannot_be(tmp_path, paths, message):
    _touch(tmp_path, *paths)
    with pytest.raises(UserError, match=message) as caught:
        list_images(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"the image folder .*nowhere does not exist"):
        list_images(str(tmp_path / "nowhere"))


def test_fingerprint_follows_images_and_masks(tmp_path):
    _touch(tmp_path, "train/good/0.png", "test/cut/0.png", "notes.txt")

    def take():
        return fingerprint(list_images(str(tmp_path)))

    seen = [take()]
    _touch(tmp_path, "notes2.txt")
    assert take() == seen[0]

    _touch(tmp_path, "train/good/1.png")
    seen.append(take())
    _touch(tmp_path, "ground_truth/cut/0_mask.png")
    seen.append(take())
    (tmp_path / "ground_truth/cut/0_mask.png").write_bytes(b"another size")
    seen.append(take())
    (tmp_path / "train/good/1.png").write_bytes(b"train/good/X.png")
    os.utime(tmp_path / "train/good/1.png", ns=(1, 1))
    seen.append(take())
    (tmp_path / "train/good/1.png").rename(tmp_path / "train/good/2.png")
    seen.append(take())
    (tmp_path / "train/good/2.png").unlink()
    seen.append(take())
    assert len(set(seen)) == len(seen)
    assert take() == seen[-1]


def test_name_that_is_not_utf8_is_told(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.png", "wb") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"holds a file whose name is not UTF-8: b'.*\\xff\\xfe.png'"):
        list_images(str(tmp_path))
