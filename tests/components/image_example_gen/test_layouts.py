"""Which files of a folder are images, of which split, with which mask; and when that changes."""

import os

import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.listing import ImageFile, fingerprint
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings


def _touch(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())


def _list(root, **settings):
    return list_images(str(root), ImageExampleGenSettings(**settings))


def _problems(listing):
    return {file.path: file.problem for file in listing.files if file.problem}


def test_folders_by_split_and_kind_with_masks(tmp_path):
    _touch(
        tmp_path,
        "license.txt",
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
    )
    listing = list_images(f"{tmp_path}/")
    kind = "big scratch"
    assert (listing.root, listing.layout, listing.passed_over) == (str(tmp_path), "mvtec", 1)
    assert listing.files == (
        ImageFile(f"test/{kind}/000.png", "test", 1, kind, f"ground_truth/{kind}/000_mask.png"),
        ImageFile(f"test/{kind}/001.jpg", "test", 1, kind, f"ground_truth/{kind}/001.png"),
        ImageFile(f"test/{kind}/002.png", "test", 1, kind, None),
        ImageFile(f"test/{kind}/sub/000.png", "test", 1, kind, f"ground_truth/{kind}/sub/000_mask.png"),
        ImageFile("test/good/0.png", "test", 0, "good", None),
        ImageFile("train/good/a.JPG", "", 0, "good", None),
        ImageFile("train/good/b.png", "", 0, "good", None),
        ImageFile("train/good/camera 1/ü.png", "", 0, "good", None),
    )


@pytest.mark.parametrize("folder", ["calibration", "validation"])
def test_calibration_folder(tmp_path, folder):
    _touch(tmp_path, "train/good/0.png", f"{folder}/good/0.png")
    listing = _list(tmp_path)
    assert {file.path: file.split for file in listing.files} == {
        f"{folder}/good/0.png": "calibration",
        "train/good/0.png": "train",
    }
    assert listing.count("calibration") == 1 and listing.count("test") == 0


def test_what_a_layout_has_no_place_for_is_told(tmp_path):
    _touch(
        tmp_path,
        "train/good/0.png",
        "train/stray.png",
        "overview.png",
        "test/loose.png",
        "test/cut/0.png",
        "ground_truth/cut/0_mask.png",
        "ground_truth/cut/0.png",
        "ground_truth/cut/9_mask.png",
        "ground_truth/good/0_mask.png",
        "ground_truth/dent/0_mask.png",
        "test/good/0.png",
    )
    assert _problems(_list(tmp_path)) == {
        "train/stray.png": "no part of the layout mvtec",
        "overview.png": "no part of the layout mvtec",
        "test/loose.png": "no part of the layout mvtec",
        "ground_truth/cut/0.png": "one of two masks of an image",
        "ground_truth/cut/9_mask.png": "the mask of no image",
        "ground_truth/good/0_mask.png": "the mask of a normal image",
        "ground_truth/dent/0_mask.png": "the mask of no image",
    }


@pytest.mark.parametrize(
    "mask", ["0_mask.PNG", "0.bmp", "0_gt.tif", "0_label.tiff", "0_segmentation.webp", "0_mask.jpg", "0.png"]
)
def test_usual_names_of_masks(tmp_path, mask):
    _touch(tmp_path, "train/good/0.png", "test/cut/0.jpeg", f"ground_truth/cut/{mask}")
    listing = _list(tmp_path)
    assert listing.files[0].mask == f"ground_truth/cut/{mask}"
    assert not _problems(listing)


def test_the_first_usual_name_wins(tmp_path):
    _touch(tmp_path, "train/good/0.png", "test/cut/0.png")
    # From the last to the first: each that is added takes over.
    for name in (
        "0_segmentation.png",
        "0_label.png",
        "0_gt.png",
        "0.webp",
        "0.png",
        "0_mask.bmp",
        "0_mask.png",
    ):
        _touch(tmp_path, f"ground_truth/cut/{name}")
        assert _list(tmp_path).files[-2].mask == f"ground_truth/cut/{name}"


def test_btech(tmp_path):
    _touch(
        tmp_path,
        "train/ok/0.bmp",
        "test/ok/1.bmp",
        "test/ko/2.bmp",
        "test/ko/3.bmp",
        "ground_truth/ko/2.png",
        "ground_truth/ko/3.bmp",
    )
    listing = _list(tmp_path)
    assert listing.layout == "btech"
    assert listing.files == (
        ImageFile("test/ko/2.bmp", "test", 1, "ko", "ground_truth/ko/2.png"),
        ImageFile("test/ko/3.bmp", "test", 1, "ko", "ground_truth/ko/3.bmp"),
        ImageFile("test/ok/1.bmp", "test"),
        ImageFile("train/ok/0.bmp", ""),
    )


@pytest.mark.parametrize(("name", "setting"), [("Good", ""), ("OK", ""), ("normal", ""), ("cat", "cat")])
def test_class_folders(tmp_path, name, setting):
    _touch(tmp_path, f"{name}/a/0.png", f"{name}/1.png", "dent/2.png", "readme.md")
    listing = _list(tmp_path, normal_class=setting)
    assert (listing.layout, listing.passed_over) == ("classes", 1)
    assert set(listing.files) == {
        ImageFile(f"{name}/a/0.png"),
        ImageFile(f"{name}/1.png"),
        ImageFile("dent/2.png", "test", 1, "dent"),
    }


def test_flat_folder_without_what_stands_beside(tmp_path):
    _touch(
        tmp_path,
        *("1.png", "2.tif", "scan", "notes.txt", "labels.CSV", "dataset.json", "LICENSE"),
        *(".hidden.png", ".DS_Store", "._1.png", "Thumbs.db", "__MACOSX/1.png"),
    )
    listing = _list(tmp_path)
    # Unknown formats count as images: they are to be quarantined, not dropped in silence.
    assert listing.files == (ImageFile("1.png"), ImageFile("2.tif"), ImageFile("scan"))
    assert (listing.layout, listing.passed_over) == ("flat", 9)


def test_folders_that_are_no_classes_are_flat_when_told(tmp_path):
    _touch(tmp_path, "1.png", "2024/01/2.png")
    with pytest.raises(UserError, match=r"can be meant as flat or classes: say which with --ingest.layout"):
        _list(tmp_path)
    assert _list(tmp_path, layout="flat").files == (ImageFile("1.png"), ImageFile("2024/01/2.png"))
    classes = _list(tmp_path, layout="classes", normal_class="2024")
    assert _problems(classes) == {"1.png": "in no class folder"}


@pytest.mark.parametrize(
    ("paths", "settings", "message"),
    [
        ([], {}, "has neither images nor a folder train/good"),
        (["notes.txt"], {}, "has neither images nor a folder train/good"),
        (["notes.txt"], {"layout": "flat"}, "has no images"),
        (["train/0.png"], {}, "train/good has no images"),
        (["train/good/notes.txt", "test/good/0.png"], {}, "train/good has no images"),
        (["train/good/0.png", "calibration/notes.txt"], {}, "calibration/good has no images"),
        (["train/good/0.png", "val/good/0.png", "calibration/good/0.png"], {}, "found calibration, val"),
        (["train/good/0.png", "train/ok/0.png"], {}, "can be meant as mvtec or btech: say which"),
        (["0.png", "a.tfrecord"], {}, "can be meant as tfrecords or flat: say which"),
        (["train/good/0.png"], {"layout": "btech"}, "only normal images, in train/ok; found train/good"),
        (["good/0.png", "OK/0.png"], {}, r"folders \(OK, good\), several called good or ok or normal: name"),
        (["cat/0.png", "dog/0.png"], {}, r"folders \(cat, dog\), none called .* --ingest.normal_class"),
        (["a/0.png"], {"normal_class": "b"}, r"one of the folders of .* \(a\); received 'b'"),
        (["good/a.txt", "dent/0.png"], {}, "good has no images"),
        (["0.png"], {"layout": "manifest"}, "has no manifest.csv or manifest.jsonl"),
        (["0.png"], {"layout": "visa"}, r"holds 0 objects \(none\)"),
        (["0.png"], {"layout": "pyramid"}, "holds no pyramid"),
        (["a.txt"], {"layout": "tfrecords"}, "has no TFRecord files"),
        (["0.png"], {"layout": "tfds"}, "is named tfds:mnist, for example"),
        (
            ["train/good/0.png", "train/b\na\nd/0.png"],
            {},
            r"may hold only normal images, in train/good; found train/b\\na\\nd",
        ),
    ],
)
def test_folders_that_cannot_be(tmp_path, paths, settings, message):
    _touch(tmp_path, *paths)
    with pytest.raises(UserError, match=message) as caught:
        _list(tmp_path, **settings)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(UserError, match=r"the image folder .*nowhere does not exist"):
        _list(tmp_path / "nowhere")
    _touch(tmp_path, "0.png")
    with pytest.raises(UserError, match=r"the image folder .*0.png is a file"):
        _list(tmp_path / "0.png")


def test_groups_by_a_pattern(tmp_path):
    _touch(tmp_path, "train/good/part7_a.png", "train/good/part7_b.png", "train/good/other.png")
    listing = _list(tmp_path, group_pattern=r"(part\d+)_|(never)")
    assert [file.group for file in listing.files] == ["", "part7", "part7"]


def test_other_file_systems(tmp_path):
    root = f"ram://layouts/{tmp_path.name}"
    for path in (
        "train/good/0.png",
        "train/good/.hidden.png",
        "test/cut/1.png",
        "ground_truth/cut/1_mask.png",
    ):
        tf.io.gfile.makedirs(os.path.dirname(f"{root}/{path}"))
        with tf.io.gfile.GFile(f"{root}/{path}", "wb") as file:
            file.write(b"x")
    listing = _list(root)
    assert listing.files == (
        ImageFile("test/cut/1.png", "test", 1, "cut", "ground_truth/cut/1_mask.png"),
        ImageFile("train/good/0.png", ""),
    )
    assert listing.passed_over == 1


def test_fingerprint_follows_images_and_masks(tmp_path):
    _touch(tmp_path, "train/good/0.png", "train/good/part#1.png", "test/cut/0.png", "notes.txt")

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
    (tmp_path / "train/good/part#1.png").write_bytes(b"another size")
    seen.append(take())
    (tmp_path / "train/good/1.png").rename(tmp_path / "train/good/2.png")
    seen.append(take())
    (tmp_path / "train/good/2.png").unlink()
    seen.append(take())
    assert len(set(seen)) == len(seen)
    assert take() == seen[-1]
