"""Pyramids in the original's layout: what was written is what is read."""

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.pyramid.level_writer import write_single_files
from proganomaly.components.records.pyramid_labels import read_labels
from proganomaly.components.records.pyramid_record import find_levels, parse_pyramid_records, read_records


def _images(count, resolution=16, channels=2):
    return np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, channels), np.uint8)


def test_levels_are_box_means_and_labels_are_in_step(tmp_path):
    images, rows = _images(5), np.eye(3, dtype=np.float32)[[2, 0, 1, 1, 0]]
    prefix = f"{tmp_path}/set-"
    assert write_single_files(prefix, zip(images, rows, strict=True)) == 4
    names = ["set-r02.tfrecords", "set-r03.tfrecords", "set-r04.tfrecords", "set-rxx.labels"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    levels = find_levels(str(tmp_path))
    assert list(levels) == [4, 8, 16]
    for resolution, (path,) in levels.items():
        factor = 16 // resolution
        boxes = images.reshape(5, resolution, factor, resolution, factor, 2).mean(axis=(2, 4))
        written = parse_pyramid_records(tf.constant(list(read_records(path))), resolution, 2).numpy()
        np.testing.assert_array_equal(written, np.rint(boxes))
    np.testing.assert_array_equal(np.load(f"{prefix}rxx.labels"), rows)
    np.testing.assert_array_equal(read_labels(prefix), rows)


def test_without_classes_there_is_no_labels_file(tmp_path):
    assert write_single_files(f"{tmp_path}/a-", ((image, None) for image in _images(2, 4))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-r02.tfrecords"]
    assert read_labels(f"{tmp_path}/a-") is None


@pytest.mark.parametrize(
    ("second", "label", "message"),
    [
        ((16, 16, 1), None, r"must have the shape \(16, 16, 2\); image 1 has \(16, 16, 1\)"),
        ((16, 16, 2), np.ones(1, np.float32), "must have a class or none of them; image 1 differs"),
    ],
)
def test_unequal_images_leave_nothing(second, label, message, tmp_path):
    images = [(np.zeros((16, 16, 2), np.uint8), None), (np.zeros(second, np.uint8), label)]
    with pytest.raises(UserError, match=message):
        write_single_files(f"{tmp_path}/a-", images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no numpy", "is no NumPy file of labels"),
        (np.zeros(3), r"\[images, classes\]; it holds float64 \(3,\)"),
    ],
)
def test_broken_labels(content, message, tmp_path):
    path = tmp_path / "a-rxx.labels"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as file:
            np.save(file, content)
    with pytest.raises(UserError, match=message):
        read_labels(f"{tmp_path}/a-")
