"""Layouts that a table describes: manifests, and VisA with its split file."""

import json

import pytest

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


def test_csv_manifest(tmp_path):
    _touch(tmp_path, *(f"img/{i}.png" for i in range(8)), "img/m.png", "img/a, b\n.png", "img/not named.png")
    (tmp_path / "manifest.csv").write_text(
        "\ufeffPath,label,defect_type,mask,split,group,camera\r\n"
        "img/0.png,0,,,,,left\r\n"
        "./img/1.png,normal,good,,train,part1,\r\n"
        f"{tmp_path}/img/2.png,Good,,,val,,\r\n"
        "img/3.png,1,scratch,img/m.png,,,\r\n"
        "img/4.png,anomalous,,,test,,\r\n"
        "img/5.png,,,,,,\r\n"
        "img/6.png,,dent,,,,\r\n"
        "img/7.png,,,,Train,,\r\n"
        '"img/a, b\n.png",ok,,,test,,\r\n'
    )
    listing = _list(tmp_path)
    assert listing.files == (
        ImageFile("img/0.png"),
        ImageFile("img/1.png", "train", group="part1"),
        ImageFile("img/2.png", "calibration"),
        ImageFile("img/3.png", "test", 1, "scratch", "img/m.png"),
        ImageFile("img/4.png", "test", 1, ""),
        ImageFile("img/5.png", "test", None, ""),
        ImageFile("img/6.png", "test", 1, "dent"),
        ImageFile("img/7.png", "train", None, ""),
        ImageFile("img/a, b\n.png", "test"),
    )
    assert (listing.layout, listing.passed_over) == ("manifest", 2)
    by_path = _list(tmp_path / "manifest.csv", group_pattern=r"img/(\d)")
    assert by_path.root == str(tmp_path)
    assert [file.group for file in by_path.files][:3] == ["0", "part1", "2"]


def test_json_manifest_of_any_name(tmp_path):
    _touch(tmp_path, "0.png", "1.png", "2.png")
    rows = [
        {"path": "0.png", "label": 0, "split": "train", "mask": None},
        {"path": "1.png", "label": 1, "defect_type": "ö"},
        {"path": "2.png", "label": None},
    ]
    (tmp_path / "images.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    listing = _list(tmp_path / "images.jsonl")
    # Without images for calibration, the hash takes some of those to train on.
    assert listing.files == (
        ImageFile("0.png", ""),
        ImageFile("1.png", "test", 1, "ö"),
        ImageFile("2.png", "test", None, ""),
    )


def test_problems_of_a_manifest(tmp_path):
    root = tmp_path / "data"
    _touch(root, "0.png", "1.png", "2.png", "m.png", ".hidden/3.png", "sub/4.png")
    _touch(tmp_path, "out.png")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / ".hidden/link.png").symlink_to(tmp_path / "out.png")
    lines = [
        "path,label,mask",
        "0.png,0,",
        "sub/../0.png,0,",
        "gone.png,0,",
        "1.png,1,gone_mask.png",
        "2.png,0,m.png",
        "../out.png,0,",
        f"{tmp_path}/out.png,0,",
        "link.png,0,",
        ".hidden/3.png,0,",
        ".hidden/link.png,0,",
        "sub,0,",
    ]
    (root / "manifest.csv").write_text("\n".join(lines))
    listing = _list(root)
    link = "a link out of the image folder (see --ingest.follow_links)"
    assert sorted((file.path, file.problem) for file in listing.files if file.problem) == [
        ("../out.png", "named in lines 7 and 8 of manifest.csv"),
        ("../out.png", "outside of the manifest's folder (see --ingest.follow_links)"),
        (".hidden/link.png", link),
        ("0.png", "named in lines 2 and 3 of manifest.csv"),
        ("1.png", "its mask gone_mask.png: does not exist"),
        ("gone.png", "does not exist"),
        ("link.png", link),
        ("m.png", "the mask of a normal image"),
        ("sub", "a folder"),
    ]
    assert sorted(file.path for file in listing.files if not file.problem) == [
        ".hidden/3.png",
        "0.png",
        "2.png",
    ]
    followed = _list(root, follow_links=True)
    assert {"../out.png", ".hidden/link.png"} <= {f.path for f in followed.files if not f.problem}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("manifest.csv", "", r"line 1: the column path is missing; received nothing"),
        ("manifest.csv", "file,label\n", r"line 1: the column path is missing; received file, label"),
        ("manifest.csv", "path\n", r"manifest.csv names no image"),
        ("manifest.csv", "path,path\n0.png,0.png", r"line 1: two columns are called 'path'"),
        ("manifest.csv", "path,lable\n0.png,1", r"there is no column 'lable'; did you mean label\?"),
        (
            "manifest.csv",
            "path,label\n0.png,0\n1.png,maybe",
            r"line 3: label must be one of 0, .*'maybe'",
        ),
        ("manifest.csv", "path,split\n0.png,dev", r"line 2: split must be one of train, .* received 'dev'"),
        (
            "manifest.csv",
            "path,label,split\n0.png,1,train",
            r"line 2: split of an anomalous .*'train'",
        ),
        ("manifest.csv", "path,label,split\n0.png,1,val", r"line 2: split of an anomalous .* received 'val'"),
        ("manifest.csv", "path,label,defect_type\n0.png,0,cut", r"line 2: defect_type of a normal .* 'cut'"),
        ("manifest.csv", "path,label,defect_type\n0.png,1,good", r"line 2: defect_type of an anomalous"),
        ("manifest.csv", "path\n0.png,1", r"line 2: 2 values for 1 columns; the first too many is '1'"),
        ("manifest.csv", 'path,label\n"0.png,0\n', r"line 2: unexpected end of data"),
        ("manifest.csv", "path,label\n,0\n", r"line 2: path may not be empty; received ''"),
        ("manifest.csv", "path\na\0b.png", r"line 2: "),
        ("manifest.csv", b"path\n0.png\n\xff.png", r"line 3: the text is not UTF-8"),
        ("manifest.jsonl", '{"path": "0.png"}\n{"path": ', r"line 2: no JSON"),
        ("manifest.jsonl", "[1]", r"line 1: must be an object; received '\[1\]'"),
        ("manifest.jsonl", '{"label": 1}', r"line 1: path is missing; received label"),
        ("manifest.jsonl", '{"path": "\\ud800.png"}', r"line 1: path holds a character"),
        ("manifest.jsonl", '{"path": "0.png", "label": true}', r"line 1: label must be .* received 'true'"),
        ("manifest.jsonl", "[" * 100000, r"line 1: no JSON"),
    ],
)
def test_mistakes_in_a_manifest(tmp_path, name, text, message):
    _touch(tmp_path, "0.png", "1.png")
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        _list(tmp_path)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_two_manifests(tmp_path):
    _touch(tmp_path, "manifest.csv", "manifest.jsonl")
    with pytest.raises(UserError, match=r"has both manifest.csv and manifest.jsonl; give the path"):
        _list(tmp_path)
    with pytest.raises(UserError, match=r"nowhere.csv does not exist"):
        _list(tmp_path / "nowhere.csv")


@pytest.fixture
def visa(tmp_path):
    """Two objects; of the first, one image is not in the split file, one row has no image."""
    for name in ("candle", "pcb1"):
        _touch(
            tmp_path,
            *(f"{name}/Data/Images/Normal/{i:04d}.JPG" for i in range(4)),
            *(f"{name}/Data/Images/Anomaly/{i:03d}.JPG" for i in range(2)),
            *(f"{name}/Data/Masks/Anomaly/{i:03d}.png" for i in range(2)),
            f"{name}/image_anno.csv",
        )
    _touch(tmp_path, "LICENSE-DATASET", "candle/Data/Masks/Anomaly/009.png", "candle/.DS_Store")
    rows = [
        "object,split,label,image,mask",
        "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
        "candle,train,normal,candle/Data/Images/Normal/0001.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/0002.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/0007.JPG,",
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
        "candle,test,anomaly,candle/Data/Images/Anomaly/001.JPG,candle/Data/Masks/Anomaly/001.png",
        "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,",
    ]
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("inside", ["", "candle/"])
def test_visa_by_its_split_file(visa, inside):
    listing = _list(visa, normal_class="candle") if inside else _list(visa / "candle")
    images, masks = f"{inside}Data/Images", f"{inside}Data/Masks/Anomaly"
    normal = f"{images}/Normal"
    assert (listing.layout, listing.passed_over) == ("visa", 2)
    assert [file for file in listing.files if not file.problem] == [
        ImageFile(f"{images}/Anomaly/000.JPG", "test", 1, "anomaly", f"{masks}/000.png"),
        ImageFile(f"{images}/Anomaly/001.JPG", "test", 1, "anomaly", f"{masks}/001.png"),
        ImageFile(f"{normal}/0000.JPG", ""),
        ImageFile(f"{normal}/0001.JPG", ""),
        ImageFile(f"{normal}/0002.JPG", "test"),
    ]
    assert _problems(listing) == {
        f"{normal}/0003.JPG": "not named in split_csv/1cls.csv",
        f"{normal}/0007.JPG": "does not exist, but split_csv/1cls.csv, line 5, names it",
        f"{masks}/009.png": "the mask of no image in split_csv/1cls.csv",
    }


def test_visa_without_its_split_file(visa):
    (visa / "split_csv/1cls.csv").unlink()
    listing = _list(visa / "candle")
    assert [file.split for file in listing.files if not file.problem] == ["test"] * 2 + [""] * 4
    assert listing.files[1].mask == "Data/Masks/Anomaly/001.png"
    assert _problems(listing) == {"Data/Masks/Anomaly/009.png": "the mask of no image"}


def test_visa_follows_its_split_file(visa):
    before = fingerprint(_list(visa / "candle"))
    text = (visa / "split_csv/1cls.csv").read_text()
    (visa / "split_csv/1cls.csv").write_text(text.replace("candle,test,normal", "candle,train,normal"))
    assert fingerprint(_list(visa / "candle")) != before


@pytest.mark.parametrize(
    ("old", "new", "settings", "message"),
    [
        ("", "", {}, r"holds 2 objects \(candle, pcb1\): name one with --ingest.normal_class, or give"),
        ("", "", {"normal_class": "fryum"}, r"one of the objects of .* \(candle, pcb1\); received 'fryum'"),
        (",label,", ",kind,", {"normal_class": "candle"}, r"1cls.csv, line 1: the column label is missing"),
        ("pcb1,train", "pcb2,train", {"normal_class": "pcb1"}, r"1cls.csv has no rows for the object pcb1"),
        ("test,anomaly", "train,anomaly", {"normal_class": "candle"}, r"line 6: split of an anomaly must be"),
        (
            "test,normal",
            "eval,normal",
            {"normal_class": "candle"},
            r"line 4: split must be one of train",
        ),
    ],
)
def test_mistakes_with_visa(visa, old, new, settings, message):
    text = (visa / "split_csv/1cls.csv").read_text()
    (visa / "split_csv/1cls.csv").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        _list(visa, **settings)
