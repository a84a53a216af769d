"""`proganomaly records`: bit for bit the original's format, there and back, and what each mistake says."""

import csv
import io
import json
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.records.image_example import ImageRecord, encode_image_example
from proganomaly.components.trainer.dataset import PyramidSource
from proganomaly.pipeline import cli

RANDOM = np.random.default_rng(11)


def _image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels), np.uint8).squeeze()


def _save(path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _open(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _original_levels(image: np.ndarray) -> dict[int, np.ndarray]:
    """The levels of an image [C, H, W] as the paper's tool makes them: float means of 2 x 2, then rounded."""
    levels, mean = {}, image.astype(np.float32)
    while True:
        levels[mean.shape[1]] = np.rint(mean).clip(0, 255).astype(np.uint8)
        if mean.shape[1] == 4:
            return levels
        mean = (mean[:, 0::2, 0::2] + mean[:, 0::2, 1::2] + mean[:, 1::2, 0::2] + mean[:, 1::2, 1::2]) * 0.25


def _original_read(path) -> list[np.ndarray]:
    """Reads a file without TensorFlow's reader: lengths by hand, the Example by protobuf."""
    content, images = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        features = tf.train.Example.FromString(content[12 : 12 + length]).features.feature
        assert sorted(features) == ["data", "shape"]
        shape = list(features["shape"].int64_list.value)
        images.append(np.frombuffer(features["data"].bytes_list.value[0], np.uint8).reshape(shape))
        content = content[16 + length :]
    return images


def _original_write(folder, images, prefix="x-") -> None:
    """Writes images [C, H, W] as the paper's tool does."""
    folder.mkdir(parents=True)
    for side in _original_levels(images[0]):
        with tf.io.TFRecordWriter(f"{folder}/{prefix}r{int(np.log2(side)):02d}.tfrecords") as writer:
            for image in images:
                level = _original_levels(image)[side]
                shape = tf.train.Feature(int64_list=tf.train.Int64List(value=level.shape))
                data = tf.train.Feature(bytes_list=tf.train.BytesList(value=[level.tobytes()]))
                features = tf.train.Features(feature={"shape": shape, "data": data})
                writer.write(tf.train.Example(features=features).SerializeToString())


def _run(*words) -> int:
    return cli.main(["records", *map(str, words)])


@pytest.mark.parametrize("channels", [1, 3])
def test_export_is_the_originals_pyramid_bit_for_bit(tmp_path, channels, capsys):
    images = [_image(20, 16, channels) for _ in range(3)]
    for number, image in enumerate(images):
        _save(tmp_path / f"images/{number}.png", image)
    words = ["--resolution=16", f"--channels={channels}", "--prefix=brick-"]
    assert _run("export", tmp_path / "images", tmp_path / "out", *words) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out: 3 images at 3 resolutions\n"
    for level, side in ((2, 4), (3, 8), (4, 16)):
        read = _original_read(tmp_path / f"out/brick-r{level:02d}.tfrecords")
        assert len(read) == 3
        for found, image in zip(read, images, strict=True):
            square = image.reshape(20, 16, channels)[2:18].transpose(2, 0, 1)
            np.testing.assert_array_equal(found, _original_levels(square)[side])
    assert PyramidSource(str(tmp_path / "out")).images == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_import_gives_back_the_pixels_and_export_the_records(tmp_path, channels):
    images = [_image(16, 16, channels).reshape(16, 16, channels).transpose(2, 0, 1) for _ in range(3)]
    _original_write(tmp_path / "records", images)
    assert _run("import", tmp_path / "records", tmp_path / "images") == 0
    for number, image in enumerate(images):
        found = _open(tmp_path / f"images/images/{number:07d}.png").reshape(16, 16, channels)
        np.testing.assert_array_equal(found, image.transpose(1, 2, 0))
    listing = list_images(str(tmp_path / "images"))
    assert [(file.label, file.split, file.problem) for file in listing.files] == [(0, "", "")] * 3
    words = ["--resolution=16", f"--channels={channels}", "--prefix=x-"]
    assert _run("export", tmp_path / "images", tmp_path / "again", *words) == 0
    assert _run("compare", tmp_path / "records", tmp_path / "again") == 0
    for path in (tmp_path / "records").iterdir():
        for one, other in zip(
            _original_read(path), _original_read(tmp_path / "again" / path.name), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_classes_travel_as_labels_and_as_folders(tmp_path, capsys):
    for kind, count in (("good", 2), ("cut", 1), ("hole", 2)):
        for number in range(count):
            _save(tmp_path / f"images/{kind}/{number}.png", _image(8, 8))
    words = ["--resolution=8", "--prefix=p-"]
    assert _run("export", tmp_path / "images", tmp_path / "normal", *words) == 0
    assert "2 images at 2 resolutions\n3 images left out that are not known to be" in capsys.readouterr().out
    assert _run("export", tmp_path / "images", tmp_path / "all", *words, "--all") == 0
    assert not (tmp_path / "all/p-rxx.labels").exists()
    assert len(_original_read(tmp_path / "all/p-r03.tfrecords")) == 5
    capsys.readouterr()
    assert _run("export", tmp_path / "images", tmp_path / "labelled", *words, "--labels") == 0
    assert "classes: 0 good, 1 cut, 2 hole" in capsys.readouterr().out
    # In the order of the paths: cut, good, good, hole, hole.
    labels = np.load(tmp_path / "labelled/p-rxx.labels")
    assert (labels.dtype, labels.argmax(axis=1).tolist(), labels.sum()) == (np.float32, [1, 0, 0, 2, 2], 5)
    assert _run("import", tmp_path / "labelled", tmp_path / "folders") == 0
    found = sorted(str(path.relative_to(tmp_path / "folders")) for path in tmp_path.glob("folders/*/*"))
    assert found == ["0/0000001.png", "0/0000002.png", "1/0000000.png", "2/0000003.png", "2/0000004.png"]
    np.testing.assert_array_equal(
        _open(tmp_path / "folders/1/0000000.png"), _open(tmp_path / "images/cut/0.png")
    )
    settings = ImageExampleGenSettings(normal_class="0")
    assert [file.label for file in list_images(str(tmp_path / "folders"), settings).files] == [0, 0, 1, 1, 1]


def test_import_copies_encoded_images_byte_for_byte_with_masks_labels_and_splits(tmp_path):
    jpeg = io.BytesIO()
    Image.fromarray(_image(9, 7)).save(jpeg, "JPEG")
    plain = {"height": 9, "width": 7, "channels": 3, "brightness": 0.0, "contrast": 0.0, "sharpness": 0.0}
    normal = ImageRecord(jpeg.getvalue(), "a.jpg", "jpeg", **plain, label=0, defect_type="good")
    broken = ImageRecord(
        _png(_image(9, 7)), "b.png", "png", **plain, label=1, defect_type="cut", mask=_png(_image(9, 7, 1))
    )
    for split, record in (("train", normal), ("test", broken)):
        (tmp_path / f"data/Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(f"{tmp_path}/data/Split-{split}/data.tfrecord", "GZIP") as writer:
            writer.write(encode_image_example(record))
    assert _run("import", tmp_path / "data", tmp_path / "out") == 0
    with open(tmp_path / "out/manifest.csv") as file:
        rows = list(csv.DictReader(file))
    # Without a calibration split of their own, training images are told apart by hash later.
    assert [(row["label"], row["defect_type"], row["split"]) for row in rows] == [
        ("1", "cut", "test"),
        ("0", "good", ""),
    ]
    assert [(tmp_path / "out" / row["path"]).read_bytes() for row in rows] == [broken.image, normal.image]
    assert (tmp_path / "out" / rows[0]["mask"]).read_bytes() == broken.mask
    files = list_images(str(tmp_path / "out")).files
    assert not any(file.problem for file in files) and sum(file.mask is not None for file in files) == 1


def test_examples_from_elsewhere_keep_their_classes(tmp_path, capsys):
    with tf.io.TFRecordWriter(f"{tmp_path}/flowers.tfrecord") as writer:
        for name in (b"rose", b"../tulip", b"rose"):
            example = tf.train.Example()
            example.features.feature["image/encoded"].bytes_list.value.append(_png(_image(6, 6)))
            example.features.feature["image/class/text"].bytes_list.value.append(name)
            writer.write(example.SerializeToString())
        writer.write(b"\xff\xff")
    assert _run("import", tmp_path / "flowers.tfrecord", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"{tmp_path}/out: 3 images written\nclasses: _.._tulip, rose; use them with run"
    )
    assert "1 could not be used:\n  flowers.tfrecord#3: it is no tf.Example" in printed
    assert sorted(path.name for path in (tmp_path / "out/rose").iterdir()) == ["0000000.png", "0000002.png"]
    assert [path.name for path in tmp_path.iterdir()].count("tulip") == 0
    # With a normal class they are normal or not, in a manifest.
    words = ["import", tmp_path / "flowers.tfrecord", tmp_path / "named", "--normal-class=rose"]
    assert _run(*words) == 0
    assert [file.label for file in list_images(str(tmp_path / "named")).files] == [0, 1, 0]


def test_export_cuts_tiles(tmp_path, capsys):
    image = _image(20, 13)
    _save(tmp_path / "images/a.png", image)
    words = ["--fit=tiles", "--resolution=4", "--tile-size=8", "--tile-overlap=0.25"]
    assert _run("export", tmp_path / "images", tmp_path / "out", *words) == 0
    assert "6 images at 1 resolutions" in capsys.readouterr().out
    tiles = _original_read(tmp_path / "out/images-r02.tfrecords")
    for tile, (top, left) in zip(tiles, [(0, 0), (0, 5), (6, 0), (6, 5), (12, 0), (12, 5)], strict=True):
        square = image[top : top + 8, left : left + 8].transpose(2, 0, 1)
        np.testing.assert_array_equal(tile, _original_levels(square)[4])


def test_inspect_prints_a_table_and_json(tmp_path, capsys):
    _original_write(tmp_path / "records", [_image(8, 8).transpose(2, 0, 1)] * 2)
    assert _run("inspect", tmp_path / "records") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        [path.name, "1", "2", f"{path.stat().st_size:,}"] for path in sorted((tmp_path / "records").iterdir())
    ]
    assert _run("inspect", tmp_path / "records", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [found["shapes"] for found in told["sets"]] == [{"3 x 4 x 4 uint8": 2}, {"3 x 8 x 8 uint8": 2}]


def test_inspect_tells_what_it_could_read_and_then_of_damage(tmp_path, capsys):
    _original_write(tmp_path / "records", [_image(8, 8).transpose(2, 0, 1)] * 2)
    path = tmp_path / "records/x-r03.tfrecords"
    path.write_bytes(path.read_bytes()[:-3])
    assert _run("inspect", tmp_path / "records") == 2
    printed = capsys.readouterr()
    assert "x-r02.tfrecords" in printed.out and f"damaged: {path}" in printed.out
    assert printed.err == (
        f"proganomaly records: error: {path} is damaged, truncated or no TFRecord file: "
        "record 1: the file ends inside of it\n"
    )


def test_compare_says_where_and_exits_with_1(tmp_path, capsys):
    images = [_image(8, 8).transpose(2, 0, 1) // 2 for _ in range(2)]
    _original_write(tmp_path / "a", images)
    images[1] = images[1].copy()
    images[1][0, 0, 0] += 1
    _original_write(tmp_path / "b", images)
    assert _run("compare", tmp_path / "a", tmp_path / "b") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(
        "r03  2 images, differ: 1 images only in the first, 1 only in the second; the first"
    )
    assert lines[1].endswith("image 1 (from 0); in their order 1 differ, by at most 1 of 255")
    assert _run("compare", tmp_path / "a", tmp_path / "a") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the same images"
    assert _run("compare", tmp_path / "a", tmp_path) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "images", "out", "--resolution=12"], "resolution must be one of 4, 8"),
        (["export", "images", "out", "--prefix=../x-"], "prefix must be the beginning of a file's name"),
        (["export", "images", "out", "--channels=2"], "channels of a decoded image must be one of 1, 3, 4"),
        (["export", "absent", "out"], "absent does not exist"),
        (
            ["export", "images", "full", "--resolution=4", "--prefix=x-"],
            "full/x-r02.tfrecords is there already",
        ),
        (["export", "broken", "out"], "no image of broken can be exported; a.png: format: not a"),
        (["import", "images", "out"], "images is a folder of images (flat), not of TFRecords"),
        (["import", "full", "images"], "images is there already and not an empty folder"),
        (["inspect", "absent"], "absent does not exist"),
        (["compare", "full", "images"], "images holds no pyramid"),
        (["compare", "full"], "arguments are required: compare.second"),
        (["list", "full"], "invalid choice: 'list'"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    _save(tmp_path / "images/a.png", _image(8, 8))
    _original_write(tmp_path / "full", [_image(4, 4).transpose(2, 0, 1)])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_text("text")
    assert _run(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("proganomaly records: error: ") and error.count("\n") == 1
    assert not list((tmp_path).glob("out/*"))


@pytest.mark.parametrize("action", ["export", "import", "inspect", "compare"])
def test_help_has_an_example(action, capsys):
    assert _run(action, "--help") == 0
    assert f"Example: proganomaly records {action}" in " ".join(capsys.readouterr().out.split())
