"""Two pyramids side by side: every way in which they can differ is found and said."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records.pyramid_comparison import compare_pyramids
from proganomaly.components.records.pyramid_folder import PyramidInfo, write_pyramid_info
from proganomaly.components.records.pyramid_labels import write_labels
from proganomaly.components.records.pyramid_record import encode_pyramid_record

RANDOM = np.random.default_rng(4)
IMAGES = {
    4: RANDOM.integers(0, 250, (5, 4, 4, 3), np.uint8),
    8: RANDOM.integers(0, 250, (5, 8, 8, 3), np.uint8),
}


def _original(folder, images=IMAGES, prefix="x-") -> str:
    """The original's single files, by protobuf alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, level in images.items():
        with tf.io.TFRecordWriter(f"{folder}/{prefix}r{side.bit_length() - 1:02d}.tfrecords") as writer:
            for image in level:
                planes = image.transpose(2, 0, 1)
                shape = tf.train.Feature(int64_list=tf.train.Int64List(value=planes.shape))
                data = tf.train.Feature(bytes_list=tf.train.BytesList(value=[planes.tobytes()]))
                features = tf.train.Features(feature={"shape": shape, "data": data})
                writer.write(tf.train.Example(features=features).SerializeToString())
    return str(folder)


def _folders(folder, images=IMAGES, cuts=(0, 2, 5)) -> str:
    for side, level in images.items():
        path = folder / f"r{side.bit_length() - 1:02d}"
        path.mkdir(parents=True)
        for shard, (start, end) in enumerate(itertools.pairwise(cuts)):
            with tf.io.TFRecordWriter(f"{path}/data-{shard}") as writer:
                for image in level[start:end]:
                    writer.write(encode_pyramid_record(image))
    return str(folder)


def _differences(first: str, second: str) -> dict[str, str]:
    return {level.name: level.difference for level in compare_pyramids(first, second) if level.difference}


def test_the_same_images_in_another_layout_are_equal(tmp_path):
    compared = compare_pyramids(_original(tmp_path / "a"), _folders(tmp_path / "b"))
    assert [(level.name, level.images, level.difference, level.note) for level in compared] == [
        ("r02", (5, 5), "", ""),
        ("r03", (5, 5), "", ""),
    ]


def test_another_order_is_equal_and_said(tmp_path):
    shuffled = {side: level[[3, 1, 0, 4, 2]] for side, level in IMAGES.items()}
    compared = compare_pyramids(_original(tmp_path / "a"), _original(tmp_path / "b", shuffled))
    assert [(level.difference, level.note) for level in compared] == [("", "in another order")] * 2


def test_a_changed_pixel_is_located_and_measured(tmp_path):
    changed = {side: level.copy() for side, level in IMAGES.items()}
    changed[8][3, 7, 0, 2] += 5
    changed[8][4, 1, 1, 0] += 2
    found = _differences(_original(tmp_path / "a"), _original(tmp_path / "b", changed))
    assert found == {
        "r03": "2 images only in the first, 2 only in the second; the first difference is image 3 (from 0); "
        "in their order 2 differ, by at most 5 of 255"
    }


def test_an_image_that_comes_twice_is_no_other_image(tmp_path):
    doubled = {side: level[[0, 1, 2, 3, 3]] for side, level in IMAGES.items()}
    found = _differences(_original(tmp_path / "a"), _original(tmp_path / "b", doubled))
    assert set(found) == {"r02", "r03"}
    assert found["r02"].startswith(
        "1 images only in the first, 1 only in the second; the first difference is image 4"
    )


def test_numbers_levels_and_channels(tmp_path):
    whole = _original(tmp_path / "a")
    fewer = _original(tmp_path / "b", {side: level[:3] for side, level in IMAGES.items()})
    assert _differences(whole, fewer)["r02"] == (
        "2 images only in the first, 0 only in the second; the first difference is image 3 (from 0)"
    )
    lower = _original(tmp_path / "c", {4: IMAGES[4]})
    assert _differences(whole, lower) == {"r03": "only the first has it"}
    assert _differences(lower, whole) == {"r03": "only the second has it"}
    grey = _original(tmp_path / "d", {side: level[..., :1] for side, level in IMAGES.items()})
    assert _differences(whole, grey)["r02"].endswith(
        "shapes differ: (3, 4, 4) and (1, 4, 4) (channels, height, width)"
    )


def test_classes_are_compared_too(tmp_path):
    one, two, three = (_original(tmp_path / name) for name in "abc")
    write_labels(f"{one}/x-", np.eye(5, dtype=np.float32))
    write_labels(f"{two}/x-", np.eye(5, dtype=np.float32)[[0, 1, 2, 4, 3]])
    assert not _differences(one, one)
    assert _differences(one, two) == {"labels": "2 rows differ, the first is row 3 (from 0)"}
    assert _differences(one, three) == {"labels": "only the first has them"}
    write_labels(f"{three}/x-", np.eye(5, 7, dtype=np.float32))
    assert _differences(one, three) == {"labels": "shapes differ: (5, 5) and (5, 7)"}


def test_splits_are_compared_one_by_one(tmp_path):
    for name in "ab":
        write_pyramid_info(str(tmp_path / name), PyramidInfo(ImageSpec(8, 3), {"train": 5, "test": 5}))
        _folders(tmp_path / name / "Split-train")
    _folders(tmp_path / "a/Split-test")
    _folders(tmp_path / "b/Split-test", {side: level[:, ::-1] for side, level in IMAGES.items()})
    found = _differences(str(tmp_path / "a"), str(tmp_path / "b"))
    assert set(found) == {"test/r02", "test/r03"}


def test_what_cannot_be_read_is_an_error(tmp_path):
    whole, broken = _original(tmp_path / "a"), _original(tmp_path / "b")
    path = tmp_path / "b/x-r03.tfrecords"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x-r03\.tfrecords is damaged.*record 2: its content"):
        compare_pyramids(whole, broken)
    with pytest.raises(UserError, match="holds no pyramid"):
        compare_pyramids(whole, str(tmp_path))
