"""Files that hold many images: which are listed, what comes out of them, and what of damaged ones."""

import gzip
import io
import struct

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.listing import FileContent, ImageFile, fingerprint
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.image_example_gen.sources import open_file
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.image_example import ImageRecord, encode_image_example
from proganomaly.components.records.pyramid_folder import PyramidInfo, write_pyramid_info
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import encode_pyramid_record


def _list(root, **settings):
    return list_images(str(root), ImageExampleGenSettings(**settings))


def _contents(listing):
    return [content for file in listing.files for content in open_file(listing, file)]


def _found(listing):
    """What comes out of all files: path -> (split, label, defect type), or the problem."""
    return {
        content.file.path: content.file.problem
        or (content.file.split, content.file.label, content.file.defect_type)
        for content in _contents(listing)
    }


def _example(**features):
    example = tf.train.Example()
    for name, value in features.items():
        feature = example.features.feature[name.replace("__", "/")]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return example.SerializeToString()


def _write(path, records, compression=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def test_a_file_that_is_an_image_is_itself(tmp_path):
    (tmp_path / "0.png").write_bytes(b"x")
    (tmp_path / "1.png").symlink_to("nowhere")
    listing = _list(tmp_path)
    assert _contents(listing) == [FileContent(file) for file in listing.files]
    assert [bool(file.problem) for file in listing.files] == [False, True]


def test_records_by_usual_features(tmp_path):
    records = [
        _example(image__encoded=b"A", image__class__label=3, image__class__text=b"cat"),
        _example(image=b"B", label=1, filename=b"part7/x.jpg"),
        _example(image_raw=b"C", label=b"cat"),
        _example(encoded=b"D", mask=b"M"),
        _example(image=7, image__encoded=b"E", label=3),
    ]
    _write(tmp_path / "a.tfrecord", records)
    listing = _list(tmp_path)
    assert listing.layout == "tfrecords"
    assert [(content.image, content.mask) for content in _contents(listing)] == [
        (b"A", None),
        (b"B", None),
        (b"C", None),
        (b"D", b"M"),
        (b"E", None),
    ]
    assert _found(listing) == {f"a.tfrecord#{i}": ("", 0, "good") for i in range(5)}
    by_name = _list(tmp_path, normal_class="cat", group_pattern="(part7)/")
    assert _found(by_name) == {
        "a.tfrecord#0": ("", 0, "good"),
        "a.tfrecord#1": ("test", 1, "class-1"),
        "a.tfrecord#2": ("", 0, "good"),
        "a.tfrecord#3": ("test", None, ""),
        "a.tfrecord#4": ("test", 1, "class-3"),
    }
    assert [content.file.group for content in _contents(by_name)] == ["", "part7", "", "", ""]
    by_number = _found(_list(tmp_path, normal_class="3"))
    assert [by_number[f"a.tfrecord#{i}"][1] for i in range(5)] == [0, 1, 1, None, 0]


def test_own_examples_keep_label_kind_and_mask(tmp_path):
    def record(name, **more):
        return encode_image_example(ImageRecord(b"I", name, "png", 2, 2, 3, 0.5, 0.1, 0.1, **more))

    _write(tmp_path / "Split-train/data-0.tfrecord", [record("0", label=0, defect_type="good")])
    _write(tmp_path / "Split-calibration/data-0.tfrecord", [record("1", label=0), record("2")])
    cut = record("3", label=1, defect_type="cut", mask=b"M")
    _write(tmp_path / "Split-test/data_tfrecord-0-of-1.gz", [cut, record("4")], "GZIP")
    (tmp_path / "index.jsonl").write_text("{}")
    listing = _list(tmp_path, normal_class="7")
    assert _found(listing) == {
        "Split-calibration/data-0.tfrecord#0": ("calibration", 0, "good"),
        "Split-calibration/data-0.tfrecord#1": ("calibration", None, ""),
        "Split-test/data_tfrecord-0-of-1.gz#0": ("test", 1, "cut"),
        "Split-test/data_tfrecord-0-of-1.gz#1": ("test", None, ""),
        "Split-train/data-0.tfrecord#0": ("train", 0, "good"),
    }
    assert [content.mask for content in _contents(listing)] == [None, None, b"M", None, None]
    assert listing.passed_over == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("mnist-train.tfrecord-00000-of-00001", ""),  # no shard is for calibration: the hash decides
        ("mnist-test.tfrecord-00000-of-00001", "test"),
        ("val.tfrecords", "calibration"),
        ("train/test-run.tfrecord", ""),
        ("eval/0.tfrecord", "test"),
        ("latest.tfrecord", ""),
    ],
)
def test_split_of_a_shard(tmp_path, name, split):
    _write(tmp_path / name, [_example(image=b"A")])
    assert _found(_list(tmp_path)) == {f"{name}#0": (split, 0, "good")}


def test_a_single_file_and_files_of_other_names(tmp_path):
    for name in ("a.tfrecord", "b.tfrecord"):
        _write(tmp_path / name, [_example(image=b"A")])
    assert list(_found(_list(tmp_path / "b.tfrecord"))) == ["b.tfrecord#0"]
    _write(tmp_path / "other/shard-0", [_example(image=b"A")])
    assert list(_found(_list(tmp_path / "other", layout="tfrecords"))) == ["shard-0#0"]


def test_images_beside_shards_are_told(tmp_path):
    _write(tmp_path / "a.tfrecord", [_example(image=b"A")])
    (tmp_path / "0.png").write_bytes(b"x")
    assert _found(_list(tmp_path, layout="tfrecords"))["0.png"] == "no part of the layout tfrecords"


def test_records_that_are_no_images(tmp_path):
    records = [
        _example(image=b"A"),
        b"\xff\xff",
        _example(shape=3, data=b"x"),
        _example(),
        _example(image=b"B"),
    ]
    _write(tmp_path / "a.tfrecord", records)
    found = _found(_list(tmp_path))
    assert [isinstance(value, tuple) for value in found.values()] == [True, False, False, False, True]
    assert found["a.tfrecord#1"] == "it is no tf.Example"
    assert found["a.tfrecord#2"].endswith("its features are data, shape")
    assert found["a.tfrecord#3"].endswith("its features are none")


def _masked(content):
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _lying_length(content):
    length = struct.pack("<Q", 2**60)
    return content + length + _masked(length) + b"x" * 100


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("damage", "readable"),
    [
        (lambda content: content[:-1], 2),
        (lambda content: content[: len(content) // 2], 1),
        (lambda content: content[:5], 0),
        (lambda content: content[:-8] + b"????" + content[-4:], 2),
        (_lying_length, 3),
        (lambda content: b"no record " * 9, 0),
    ],
)
def test_a_damaged_file_gives_its_readable_records_and_one_problem(tmp_path, damage, readable, zipped):
    _write(tmp_path / "a.tfrecord", [_example(image=b"A" * 50)] * 3)
    content = damage((tmp_path / "a.tfrecord").read_bytes())
    (tmp_path / "a.tfrecord").write_bytes(gzip.compress(content) if zipped else content)
    found = _found(_list(tmp_path))
    problem = found.pop("a.tfrecord")
    assert list(found) == [f"a.tfrecord#{i}" for i in range(readable)]
    assert problem.startswith(f"record {readable}: ") and "\n" not in problem


def test_a_truncated_gzip_and_a_file_without_records(tmp_path):
    _write(tmp_path / "a.tfrecord.gz", [_example(image=np.random.default_rng(0).bytes(5000))] * 3, "GZIP")
    content = (tmp_path / "a.tfrecord.gz").read_bytes()
    (tmp_path / "a.tfrecord.gz").write_bytes(content[:-20])
    (tmp_path / "b.tfrecord").write_bytes(b"")
    found = _found(_list(tmp_path))
    assert found["b.tfrecord"] == "holds no records"
    assert found["a.tfrecord.gz"].startswith("record ")


def test_a_file_that_vanished(tmp_path):
    _write(tmp_path / "a.tfrecord", [_example(image=b"A")])
    listing = _list(tmp_path)
    (tmp_path / "a.tfrecord").unlink()
    assert _found(listing)["a.tfrecord"].startswith("record 0: it cannot be read")


def _pictures(number, side, channels):
    return np.random.default_rng(side).integers(0, 256, (number, side, side, channels), np.uint8)


def _write_pyramid(root, name, images):
    for level, side in (("r02", 4), ("r03", 8)):
        _write(
            root / name.format(level=level),
            [encode_pyramid_record(image[:: 8 // side, :: 8 // side]) for image in images],
        )


def test_a_pyramid_beside_a_name_that_is_not_utf8(tmp_path):
    _write_pyramid(tmp_path, "bricks-{level}.tfrecords", _pictures(1, 8, 1))
    open(f"{tmp_path}/".encode() + b"\xff.tfrecords", "wb").close()
    with pytest.raises(UserError, match=r"holds a name that is not UTF-8: b'\\xff.tfrecords'"):
        _list(tmp_path)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["bricks-{level}.tfrecords", "{level}/a.tfrecord"])
def test_a_pyramid_gives_its_largest_level_pixel_by_pixel(tmp_path, name, channels):
    images = _pictures(3, 8, channels)
    _write_pyramid(tmp_path, name, images)
    listing = _list(tmp_path)
    assert (listing.layout, listing.passed_over) == ("pyramid", 1)
    path = name.format(level="r03")
    assert _found(listing) == {f"{path}#{i}": ("", 0, "good") for i in range(3)}
    for content, image in zip(_contents(listing), images, strict=True):
        decoded = np.asarray(Image.open(io.BytesIO(content.image)))
        assert np.array_equal(decoded.reshape(image.shape), image)


def test_classes_of_a_pyramid(tmp_path):
    _write_pyramid(tmp_path, "bricks-{level}.tfrecords", _pictures(4, 8, 1))
    labels = np.float32([[1, 0], [0, 1], [1, 0], [0, 0]])
    write_labels(f"{tmp_path}/bricks-", labels)
    assert {value[:2] for value in _found(_list(tmp_path)).values()} == {("", 0)}
    listing = _list(tmp_path, normal_class="0")
    assert list(_found(listing).values()) == [
        ("", 0, "good"),
        ("test", 1, "class-1"),
        ("", 0, "good"),
        ("test", None, ""),
    ]
    before = fingerprint(listing)
    write_labels(f"{tmp_path}/bricks-", labels[::-1])
    assert fingerprint(_list(tmp_path, normal_class="0")) != before
    for wanted in ("2", "-1", "cat"):
        with pytest.raises(UserError, match=r"the number of a class of .* \(0 to 1\); received '" + wanted):
            _list(tmp_path, normal_class=wanted)
    write_labels(f"{tmp_path}/bricks-", labels[:3])
    with pytest.raises(UserError, match=r"bricks-rxx.labels has 3 rows for 4 images"):
        _list(tmp_path)


def test_records_of_a_pyramid_that_are_no_images(tmp_path):
    images = _pictures(3, 8, 2)
    _write_pyramid(tmp_path, "{level}/a.tfrecord", images)
    assert [value[:22] for value in _found(_list(tmp_path)).values()] == ["a pyramid record must "] * 3
    hostile = [
        encode_pyramid_record(_pictures(1, 8, 3)[0]),
        _example(data=b"x"),
        b"\xff" * 208,
    ]
    _write(tmp_path / "r03/a.tfrecord", hostile)
    _write(tmp_path / "r02/a.tfrecord", [encode_pyramid_record(_pictures(1, 4, 3)[0])] * 3)
    found = list(_found(_list(tmp_path)).values())
    assert found[0] == ("", 0, "good")
    assert "needs `shape`" in found[1] and "no tf.Example" in found[2]


def test_own_pyramid_keeps_its_splits(tmp_path):
    for split in ("train", "calibration", "test"):
        _write_pyramid(tmp_path / f"Split-{split}", "{level}/data-0.tfrecord", _pictures(1, 8, 3))
    write_pyramid_info(str(tmp_path), PyramidInfo(ImageSpec(8), {"train": 1, "calibration": 1, "test": 1}))
    listing = _list(tmp_path)
    assert {path.partition("/")[0]: value for path, value in _found(listing).items()} == {
        "Split-calibration": ("calibration", 0, "good"),
        "Split-test": ("test", None, ""),
        "Split-train": ("train", 0, "good"),
    }
    with pytest.raises(UserError, match="holds no classes, so none can be normal"):
        _list(tmp_path, normal_class="0")


class TinyMarks(tfds.core.GeneratorBasedBuilder):
    """Six images per split, each filled with its number, of classes "tick" and "cross"."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(4, 6, 3)),
            "label": tfds.features.ClassLabel(names=["tick", "cross"]),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(100)}

    def _generate_examples(self, first):
        for number in range(6):
            image = np.full((4, 6, 3), first + number, np.uint8)
            yield number, {"image": image, "label": number % 2}


class TinyTrainMarks(TinyMarks):
    """The same without a test split."""

    VERSION = tfds.core.Version("1.0.0")

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0)}


@pytest.fixture(scope="module", autouse=True)
def data_dir(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # The variable TFDS_DATA_DIR is read once, when the library is imported.
        patch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


def _grey_levels(listing):
    """Grey level of each image -> what is said of it."""
    found = {}
    for content in _contents(listing):
        pixels = np.asarray(Image.open(io.BytesIO(content.image)))
        assert pixels.shape == (4, 6, 3) and pixels.min() == pixels.max()
        found[int(pixels.min())] = (content.file.split, content.file.label, content.file.defect_type)
    return found


def test_tfds_without_a_normal_class():
    listing = _list("tfds:tiny_marks")
    assert (listing.root, listing.layout) == ("tfds:tiny_marks", "tfds")
    assert listing.files == (ImageFile("tiny_marks/1.0.0/train", "", None, ""),)
    assert _grey_levels(listing) == {i: ("", 0, "good") for i in range(6)}
    assert list(_found(listing)) == [f"tiny_marks/1.0.0/train#{i}" for i in range(6)]
    assert fingerprint(listing) == fingerprint(_list("tfds:tiny_marks"))
    assert fingerprint(listing) != fingerprint(_list("tfds:tiny_train_marks"))


def test_tfds_with_a_normal_class():
    anomaly = ("test", 1, "class-cross")
    assert _grey_levels(_list("tfds:tiny_marks", normal_class="tick")) == {
        **dict.fromkeys((0, 2, 4), ("", 0, "good")),
        **dict.fromkeys((100, 102, 104), ("test", 0, "good")),
        **dict.fromkeys((101, 103, 105), anomaly),
    }
    # Without a split for it, the anomalies of the training images are what can be tested on.
    assert _grey_levels(_list("tfds:tiny_train_marks", normal_class="tick")) == {
        **dict.fromkeys((0, 2, 4), ("", 0, "good")),
        **dict.fromkeys((1, 3, 5), anomaly),
    }


@pytest.mark.parametrize(
    ("root", "settings", "message"),
    [
        ("tfds:", {}, "names no data set; say tfds:mnist"),
        ("tfds:mnits", {}, r"knows no data set mnits; did you mean mnist\?"),
        ("tfds:tiny_marks", {"normal_class": "dot"}, "has no class dot; its classes are tick, cross"),
        ("tfds:tiny_marks", {"layout": "flat"}, "has the layout tfds; received --ingest.layout=flat"),
    ],
)
def test_mistakes_with_tfds(root, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        _list(root, **settings)
    assert "\n" not in str(caught.value)
