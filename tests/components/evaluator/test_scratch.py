"""Arrays in temporary files: zeros of any size that take no place until written, and leave nothing behind."""

import os

import numpy as np

from proganomaly.components.evaluator.scratch import scratch_array


def test_an_array_behaves_as_one_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch_array((3, 4, 5), np.float32)
    assert isinstance(array, np.memmap) and array.shape == (3, 4, 5) and not array.any()
    array[1] = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(array.sum(axis=(1, 2)), [0, 190, 0])
    assert os.listdir(tmp_path) == []


def test_what_is_not_written_takes_no_place():
    array = scratch_array((2**23, 2048, 4), np.uint8)  # 64 GiB
    array[-1] = 7
    assert array[-1].min() == 7 and array[0].max() == 0


def test_nothing_needs_no_file():
    assert scratch_array((0, 8, 8), np.uint8).shape == (0, 8, 8)
