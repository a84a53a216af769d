"""PyramidTransform on a few images, read back by plain protobuf and compared with Pillow and float64."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils, channel, standard_artifacts

from proganomaly.components.errors import UserError
from proganomaly.components.images.decode import decode_image
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.pyramid import component, executor, preprocessing
from proganomaly.components.pyramid.data_anomalies import check_data_anomalies
from proganomaly.components.pyramid.inventory import take_inventory
from proganomaly.components.pyramid.settings import PyramidSettings
from proganomaly.components.pyramid.shard_writer import WriteShard
from proganomaly.components.pyramid.shards import cut_into_shards
from proganomaly.components.records import image_example, pyramid_folder, pyramid_record
from proganomaly.components.settings import from_json, to_json

SPEC = ImageSpec(resolution=16, channels=3)
IMAGES = {"train": 7, "calibration": 2, "test": 3}


def _record(split: str, index: int) -> image_example.ImageRecord:
    """A PNG of noise: grey or RGB, of the network's size or twice as large."""
    random = np.random.default_rng([index, len(split)])
    side = SPEC.resolution * (1 + index % 2)
    pixels = random.integers(0, 256, (side, side, 3) if index % 3 else (side, side), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    known = split == "test"
    return image_example.ImageRecord(
        image=file.getvalue(),
        filename=f"{split}/{index:03d}.png",
        format="png",
        height=side,
        width=side,
        channels=3,
        brightness=float(pixels.mean() / 255),
        contrast=float(pixels.std() / 255),
        sharpness=index / 10,
        label=index % 2 if known else None,
        defect_type="scratch" if known and index % 2 else "",
    )


def _expected_pixels(record: image_example.ImageRecord, resolution: int) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(record.image)).convert("RGB"), np.float64)
    if len(pixels) > SPEC.resolution:  # decoding reduces to the full resolution, rounded, before the pyramid
        pixels = np.rint(pixels.reshape(SPEC.resolution, 2, SPEC.resolution, 2, 3).mean(axis=(1, 3)))
    box = SPEC.resolution // resolution
    return np.rint(pixels.reshape(resolution, box, resolution, box, 3).mean(axis=(1, 3))).astype(np.uint8)


def _write_examples(folder, images: dict[str, int]) -> standard_artifacts.Examples:
    for split, count in images.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        # The second file is as another ExampleGen writes it.
        for name, compression, indices in (
            ("data-0.tfrecord", "", range(0, count, 2)),
            ("data-1.gz", "GZIP", range(1, count, 2)),
        ):
            with tf.io.TFRecordWriter(f"{folder}/Split-{split}/{name}", compression) as writer:
                for index in indices:
                    writer.write(image_example.encode_image_example(_record(split, index)))
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(list(images))
    return examples


def _artifact(artifact_type, folder):
    one = artifact_type()
    one.uri = str(folder)
    return one


def _run(folder, examples, **settings):
    """Runs the executor; returns its transform graph and pyramid artifacts."""
    graph = _artifact(standard_artifacts.TransformGraph, folder / "graph")
    pyramid = _artifact(standard_artifacts.Examples, folder / "pyramid")
    executor.Executor().Do(
        {"examples": [examples]},
        {"transform_graph": [graph], "pyramid": [pyramid]},
        {"settings": to_json(PyramidSettings(**settings)), "image_spec": to_json(SPEC), "code_version": "1"},
    )
    return graph, pyramid


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramid")
    # What runs that were killed have left, which had more shards.
    for path in ("Split-train/r02/data-00003-of-00009.tfrecord", "Split-train/r02/.data.1", "tmp/graph"):
        left = folder / "pyramid" / path
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half")
    return _run(folder, _write_examples(folder / "examples", IMAGES))


def _read(pyramid, split: str, resolution: int) -> list[np.ndarray]:
    files = pyramid_record.find_levels(pyramid_folder.split_folder(pyramid.uri, split))[resolution]
    images = []
    for serialized in tf.data.TFRecordDataset(files).as_numpy_iterator():
        features = tf.train.Example.FromString(serialized).features.feature
        shape = tuple(features["shape"].int64_list.value)
        pixels = np.frombuffer(features["data"].bytes_list.value[0], np.uint8)
        images.append(pixels.reshape(shape).transpose(1, 2, 0))
    return images


@pytest.mark.parametrize("split", list(IMAGES))
def test_every_level_is_bit_exact_and_in_one_order(outputs, split):
    _, pyramid = outputs
    full = _read(pyramid, split, 16)
    records = [_record(split, index) for index in range(IMAGES[split])]
    order = [next(i for i, r in enumerate(records) if (_expected_pixels(r, 16) == f).all()) for f in full]
    assert sorted(order) == list(range(IMAGES[split]))
    for resolution in (4, 8, 16):
        for index, image in zip(order, _read(pyramid, split, resolution), strict=True):
            np.testing.assert_array_equal(image, _expected_pixels(records[index], resolution))


def test_training_images_are_shuffled(outputs):
    full = _read(outputs[1], "train", 16)
    in_file_order = [_expected_pixels(_record("train", index), 16) for index in range(IMAGES["train"])]
    assert any((a != b).any() for a, b in zip(full, in_file_order, strict=True))


def test_artifact_says_what_it_holds(outputs, tmp_path):
    _, pyramid = outputs
    assert pyramid_folder.read_pyramid_info(pyramid.uri) == pyramid_folder.PyramidInfo(SPEC, IMAGES)
    assert artifact_utils.decode_split_names(pyramid.split_names) == list(IMAGES)
    assert pyramid.get_string_custom_property("payload") == "pyramid"
    assert sorted(tf.io.gfile.listdir(pyramid.uri)) == [*sorted(f"Split-{s}" for s in IMAGES), "pyramid.json"]
    for split in IMAGES:
        files = {
            path.relative_to(pyramid.uri).as_posix()
            for path in Path(pyramid.uri, f"Split-{split}").rglob("*.*")
        }
        assert files == {f"Split-{split}/r{level:02}/data-00000-of-00001.tfrecord" for level in (2, 3, 4)}


def test_transform_graph_gives_the_same_pixels_and_the_training_statistics(outputs):
    graph = tft.TFTransformOutput(outputs[0].uri)
    assert set(graph.raw_feature_spec()) == set(preprocessing.raw_feature_spec())
    records = [_record("test", index) for index in range(IMAGES["test"])]
    raw = tf.io.parse_example(
        [image_example.encode_image_example(record) for record in records], graph.raw_feature_spec()
    )
    result = graph.transform_features_layer()(raw)
    for record, pixels in zip(records, result["pixels"], strict=True):
        expected = decode_image(tf.constant(record.image), SPEC)
        np.testing.assert_array_equal(tf.io.parse_tensor(pixels, tf.uint8), expected)
    training = np.array([_record("train", index).brightness for index in range(IMAGES["train"])])
    expected_z = (np.array([record.brightness for record in records]) - training.mean()) / training.std()
    np.testing.assert_allclose(result["brightness_z"], expected_z, rtol=1e-3)
    assert list(result["label"].numpy()) == [0, 1, 0]
    assert list(result["defect_type"].numpy()) == [b"", b"scratch", b""]


def test_what_is_analysed_has_no_pixels(outputs):
    """Without its bytes an image is not decoded, whatever the decoder asserts, and its statistics count."""
    graph = tft.TFTransformOutput(outputs[0].uri)
    record = dataclasses.replace(_record("train", 1), image=b"")
    raw = tf.io.parse_example([image_example.encode_image_example(record)], graph.raw_feature_spec())
    assert graph.transform_features_layer()(raw)["pixels"].numpy() == [b""]


def test_a_killed_worker_leaves_nothing_that_is_read(tmp_path):
    for name in (".data-0.0123abcd", "data-0"):
        path = tmp_path / "Split-train" / "r02" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    executor._remove_attempts(str(tmp_path), ["train"])
    assert [path.name for path in path.parent.iterdir()] == ["data-0"]


def test_an_image_that_cannot_be_decoded_is_named_and_its_shard_is_not_written(outputs, tmp_path):
    records = [_record("train", index) for index in range(3)]
    records[1] = dataclasses.replace(records[1], image=records[1].image[:-40])
    path = f"{tmp_path}/examples"
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(image_example.encode_image_example(record))
    ((shard, part),) = cut_into_shards(take_inventory(path), 1)
    write = WriteShard(outputs[0].uri, f"{tmp_path}/out", SPEC)
    with pytest.raises(UserError, match=rf"^{path}: record 1: the image cannot be decoded \(.*\)$"):
        list(write.process((shard, [part]), 1, None))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "examples"]


def test_absent_label_is_minus_one(outputs):
    graph = tft.TFTransformOutput(outputs[0].uri)
    example = image_example.encode_image_example(_record("train", 0))
    raw = tf.io.parse_example([example], graph.raw_feature_spec())
    assert graph.transform_features_layer()(raw)["label"].numpy() == [-1]


def test_split_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"at least one image; received .*'calibration': 0"):
        _run(tmp_path, _write_examples(tmp_path / "examples", {"train": 2, "calibration": 0}))


def test_damaged_examples_are_named(tmp_path):
    examples = _write_examples(tmp_path / "examples", {"train": 2})
    path = tmp_path / "examples" / "Split-train" / "data-0.tfrecord"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=rf"^{path} is damaged.*record 0: the file ends inside of it$"):
        _run(tmp_path, examples)
    assert not (tmp_path / "pyramid" / "pyramid.json").exists()


def test_data_without_train_is_refused(tmp_path):
    with pytest.raises(UserError, match="a split named train; received test"):
        _run(tmp_path, _write_examples(tmp_path / "examples", {"test": 1}))


@pytest.fixture
def anomalies(tmp_path):
    """An artifact as ExampleValidator leaves it: one anomaly in one of two splits."""
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["brightness"].short_description = "Out-of-range values"
    found.anomaly_info["brightness"].description = "Unexpectedly high value:\n1.5"
    for split, content in (("train", anomalies_pb2.Anomalies()), ("test", found)):
        path = tmp_path / f"Split-{split}" / "SchemaDiff.pb"
        path.parent.mkdir()
        path.write_bytes(content.SerializeToString())
    one = _artifact(standard_artifacts.ExampleAnomalies, tmp_path)
    one.split_names = artifact_utils.encode_split_names(["train", "test"])
    return one


def test_anomalies_are_told_line_by_line(anomalies, capsys):
    check_data_anomalies([anomalies], "warn")
    line = "warning: data validation: split test, feature brightness: Unexpectedly high value: 1.5\n"
    assert capsys.readouterr().out == line


def test_anomalies_stop_the_run_when_told_to(anomalies):
    with pytest.raises(
        UserError, match=r"found 1 anomalies: split test, feature brightness: Unexpect.* 1\.5$"
    ):
        check_data_anomalies([anomalies], "stop")
    check_data_anomalies([], "stop")


def test_component_keeps_its_settings_and_channels():
    examples = channel.Channel(type=standard_artifacts.Examples)
    settings = PyramidSettings(on_data_anomalies="stop")
    transform = component.PyramidTransform(examples, SPEC, settings, code_version="7")
    assert set(transform.outputs) == {"transform_graph", "pyramid"}
    assert from_json(PyramidSettings, transform.exec_properties["settings"]) == settings
    assert from_json(ImageSpec, transform.exec_properties["image_spec"]) == SPEC
    assert transform.exec_properties["code_version"] == "7"


@pytest.mark.parametrize("wrong", [{"on_data_anomalies": "ignore"}, {"shard_mebibytes": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))} must be"):
        PyramidSettings(**wrong)
