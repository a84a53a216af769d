"""idx files to one-class folders."""

import gzip
import struct

import numpy as np
import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.images.one_class_set import OneClassSettings, one_class_images, read_idx


def _write_idx(path, values, compress=False):
    header = b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)
    return str(path)


@pytest.fixture
def files(tmp_path):
    """100 images, ten of each class; image i is filled with its number."""
    images = np.repeat(np.arange(100), 12).reshape(100, 3, 4)
    return (
        _write_idx(tmp_path / "images.gz", images, compress=True),
        _write_idx(tmp_path / "labels", np.arange(100) % 10),
    )


def _numbers(laid_out, folder):
    return [image[0, 0] for path, image in laid_out if path.startswith(f"{folder}/")]


def test_with_test_files(files, tmp_path):
    test_images = _write_idx(tmp_path / "t", np.repeat(np.arange(200, 230), 12).reshape(30, 3, 4))
    test_labels = _write_idx(tmp_path / "tl", np.arange(30) % 10)
    laid_out = list(
        one_class_images(OneClassSettings(*files, 8, test_images=test_images, test_labels=test_labels))
    )
    assert _numbers(laid_out, "train/good") == list(range(8, 100, 10))
    assert _numbers(laid_out, "test/good") == [208, 218, 228]
    assert _numbers(laid_out, "test/class-3") == [203, 213, 223]
    assert dict(laid_out)["test/class-3/00013.png"].shape == (3, 4)
    assert len(laid_out) == 10 + 30


def test_share_for_testing_keeps_train_and_test_apart(files):
    laid_out = list(one_class_images(OneClassSettings(*files, 8, test_share=0.4)))
    train, test = _numbers(laid_out, "train"), _numbers(laid_out, "test")
    assert all(number % 10 == 8 for number in train)
    assert not set(train) & set(test)
    assert sorted(train + _numbers(laid_out, "test/good")) == list(range(8, 100, 10))
    assert 25 <= len(test) <= 55
    assert [path for path, _ in one_class_images(OneClassSettings(*files, 8, test_share=0.4))] == [
        path for path, _ in laid_out
    ]


def test_limits(files):
    laid_out = list(
        one_class_images(OneClassSettings(*files, 8, train_limit=2, test_limit=1, test_share=0.4))
    )
    assert len(_numbers(laid_out, "train")) == 2
    assert len(_numbers(laid_out, "test")) == 10


def test_class_without_images_and_broken_files(files, tmp_path):
    images, labels = files
    with pytest.raises(UserError, match="labels has no image of class 42; its classes are 0, 1, 2"):
        list(one_class_images(OneClassSettings(images, labels, 42)))
    with pytest.raises(UserError, match="labels is no idx file of unsigned bytes with 3 dimensions"):
        list(one_class_images(OneClassSettings(labels, labels, 8)))
    with pytest.raises(UserError, match=r"has 100 images but .* has 7 labels"):
        list(one_class_images(OneClassSettings(images, _write_idx(tmp_path / "few", np.zeros(7)), 8)))
    with pytest.raises(UserError, match="nowhere does not exist"):
        list(one_class_images(OneClassSettings(str(tmp_path / "nowhere"), labels, 8)))
    with pytest.raises(UserError, match="test images and test labels go together"):
        OneClassSettings(images, labels, 8, test_images=images)
    with pytest.raises(UserError, match="test share must be above 0 and below 1; received 1"):
        OneClassSettings(images, labels, 8, test_share=1)


def test_truncated_files(files, tmp_path):
    images, labels = files
    cut = tmp_path / "cut"
    with open(images, "rb") as file:
        cut.write_bytes(file.read()[:-30])
    with pytest.raises(UserError, match="cut is a damaged gzip file"):
        read_idx(str(cut), 3)
    with open(labels, "rb") as file:
        cut.write_bytes(file.read()[:-30])
    with pytest.raises(UserError, match="its header says 100 bytes, it has 70"):
        read_idx(str(cut), 1)
    cut.write_bytes(b"\x00\x00\x08\x03\x00")
    with pytest.raises(UserError, match="no idx file"):
        read_idx(str(cut), 3)
