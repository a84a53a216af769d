"""Inventories and shards: every image once, in an order that hangs on the images alone."""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid import shards
from proganomaly.components.pyramid.inventory import take_inventory, unzipped
from proganomaly.components.pyramid.preprocessing import analysis_batch
from proganomaly.components.records.image_example import ImageRecord, encode_image_example

SPEC = ImageSpec(16, 3)
IMAGES = 40


def _example(index: int) -> bytes:
    image = np.random.default_rng(index).bytes(100 + index % 7)
    record = ImageRecord(image, f"{index}.png", "png", 16, 16, 3, index / 64, 0.25, 0.5)
    return encode_image_example(record)


EXAMPLES = [_example(index) for index in range(IMAGES)]


def _write(folder, num_files: int, order=range(IMAGES)) -> list[str]:
    paths = [f"{folder}/{number}-of-{num_files}" for number in range(num_files)]
    for number, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            for index in order[number::num_files]:
                writer.write(EXAMPLES[index])
    return paths


def _joined(lists: Iterable[list[bytes]]) -> list[bytes]:
    return list(itertools.chain.from_iterable(lists))


def _read(paths: list[str], num_shards: int) -> dict[int, list[bytes]]:
    """Cuts files into shards and reads these, as the workers do."""
    parts: dict[int, list] = {}
    for path in paths:
        for shard, part in shards.cut_into_shards(take_inventory(path), num_shards):
            parts.setdefault(shard, []).append(part)
    return {shard: _joined(e for _, e in shards.read_shard(parts[shard], SPEC)) for shard in sorted(parts)}


def test_order_and_shards_hang_on_the_images_alone(tmp_path):
    one_file = _read(_write(tmp_path, 1), 4)
    assert sorted(one_file) == [0, 1, 2, 3]
    assert sorted(_joined(one_file.values())) == sorted(EXAMPLES)
    assert _read(_write(tmp_path, 3, range(IMAGES)[::-1]), 4) == one_file
    # Fewer shards are the same order cut elsewhere; it is no order of the files.
    (whole,) = _read(_write(tmp_path, 2), 1).values()
    assert whole == _joined(one_file.values()) and whole not in (EXAMPLES, EXAMPLES[::-1])


def test_others_do_not_change_the_order(tmp_path):
    (whole,) = _read(_write(tmp_path, 1), 1).values()
    (fewer,) = _read(_write(tmp_path, 2, range(0, IMAGES, 3)), 1).values()
    assert fewer == [example for example in whole if example in EXAMPLES[::3]]


@pytest.mark.parametrize("images_per_batch", [0.5, 1, 7.3])
def test_batches_are_bounded_and_lose_nothing(tmp_path, monkeypatch, images_per_batch):
    paths = _write(tmp_path, 3)
    (expected,) = _read(paths, 1).values()
    largest = max(map(len, EXAMPLES)) + 16 * 16 * 3
    monkeypatch.setattr(shards, "_BATCH_BYTES", int(images_per_batch * largest))
    parts = [part for path in paths for _, part in shards.cut_into_shards(take_inventory(path), 1)]
    batches = list(shards.read_shard(parts, SPEC))
    assert _joined(examples for _, examples in batches) == expected
    assert max(len(examples) for _, examples in batches) <= images_per_batch + 1
    assert len(batches) >= IMAGES / (images_per_batch + 1)
    for names, examples in batches:
        for name, example in zip(names, examples, strict=True):
            path, _, number = name.partition(": record ")
            assert list(tf.data.TFRecordDataset(path).as_numpy_iterator())[int(number)] == example


def test_equal_images_stay_two(tmp_path):
    paths = _write(tmp_path, 2, [5, 5, 9])
    assert sorted(_read(paths, 1)[0]) == sorted([EXAMPLES[5], EXAMPLES[5], EXAMPLES[9]])


@pytest.mark.parametrize(
    "images, resolution, expected", [(0, 4, 1), (21, 1024, 1), (22, 1024, 2), (640, 1024, 30)]
)
def test_number_of_shards(images, resolution, expected):
    assert shards.count_shards(images, ImageSpec(resolution, 3), 64) == expected


def test_inventory_knows_the_statistics_and_an_empty_file_has_none(tmp_path):
    (path,) = _write(tmp_path, 1)
    statistics = take_inventory(path).statistics
    np.testing.assert_allclose(statistics, [[index / 64, 0.25, 0.5] for index in range(IMAGES)])
    schema = pa.schema([(name, pa.large_list(pa.float32())) for name in ("brightness", "sharpness")])
    batch = analysis_batch(statistics[:2], schema.append(pa.field("image", pa.large_list(pa.large_binary()))))
    assert batch.to_pydict() == {
        "brightness": [[0.0], [1 / 64]],
        "sharpness": [[0.5], [0.5]],
        "image": [[b""], [b""]],
    }
    (tmp_path / "empty").touch()
    empty = take_inventory(f"{tmp_path}/empty")
    assert len(empty.places) == 0 and list(shards.cut_into_shards(empty, 3)) == []
    assert analysis_batch(empty.statistics, schema).num_rows == 0


def test_a_file_without_images_is_refused(tmp_path):
    with tf.io.TFRecordWriter(f"{tmp_path}/file") as writer:
        writer.write(EXAMPLES[0])
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(
        UserError, match=r"file: record 1: this tf\.Example is no image: the feature image is miss"
    ):
        take_inventory(f"{tmp_path}/file")


def test_a_file_that_changes_after_its_inventory_is_refused(tmp_path):
    (path,) = _write(tmp_path, 1)
    ((_, part),) = shards.cut_into_shards(take_inventory(path), 1)
    _write(tmp_path, 1, range(IMAGES)[::-1])
    with pytest.raises(
        UserError, match=r"0-of-1 is damaged.*record \d+: the file changed while it was in use"
    ):
        list(shards.read_shard([part], SPEC))
    tf.io.gfile.remove(path)
    with pytest.raises(UserError, match=r"0-of-1 is damaged.*record 0: it cannot be read"):
        list(shards.read_shard([part], SPEC))


def test_gzipped_files_are_unpacked_and_plain_ones_left(tmp_path):
    (path,) = _write(tmp_path, 1)
    assert unzipped(path, f"{tmp_path}/copies") == path
    with tf.io.TFRecordWriter(f"{tmp_path}/packed", "GZIP") as writer:
        for example in EXAMPLES:
            writer.write(example)
    copy = unzipped(f"{tmp_path}/packed", f"{tmp_path}/copies")
    assert copy == unzipped(f"{tmp_path}/packed", f"{tmp_path}/copies")
    assert list(tf.data.TFRecordDataset(copy).as_numpy_iterator()) == EXAMPLES


def test_places_are_those_that_were_chosen(tmp_path):
    (path,) = _write(tmp_path, 1)
    places = take_inventory(path).places
    assert dataclasses.astuple(places.select(np.array([2])))[1:] == (
        [2],
        [sum(len(example) + 16 for example in EXAMPLES[:2])],
        [len(EXAMPLES[2])],
    )
