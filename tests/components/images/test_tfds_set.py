"""Data sets of TensorFlow Datasets: mocked ones, and one of our own that is truly prepared."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from proganomaly.components.errors import UserError
from proganomaly.components.images.tfds_set import tfds_files, tfds_squares
from proganomaly.components.images.tfds_settings import TfdsSettings


class TinySigns(tfds.core.GeneratorBasedBuilder):
    """Ten images of 6 x 8 per split, each filled with its number, of classes "stop" and "give way"."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 8, 3)),
            "label": tfds.features.ClassLabel(names=["stop", "give way"]),
            "sign": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(100)}

    def _generate_examples(self, first):
        for number in range(10):
            image = np.full((6, 8, 3), first + number, np.uint8)
            yield number, {"image": image, "label": number % 2, "sign": "x"}


class TinyWords(tfds.core.GeneratorBasedBuilder):
    """No picture in it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
        )

    def _split_generators(self, dl_manager):
        raise OSError("no\nconnection")

    def _generate_examples(self):
        raise NotImplementedError


class TinyPairs(TinyWords):
    """Two image features, and a download that fails."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"left": tfds.features.Image(), "right": tfds.features.Image()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def _numbers(files, folder):
    return sorted(int(image[0, 0, 0]) for path, image in files if path.startswith(f"{folder}/"))


def test_one_class_with_the_test_split(data_dir):
    files = list(tfds_files(TfdsSettings("tiny_signs", normal="stop"), data_dir))
    assert {path.rpartition("/")[0] for path, _ in files} == {
        "train/good",
        "test/good",
        "test/class-give-way",
    }
    assert _numbers(files, "train/good") == [0, 2, 4, 6, 8]
    assert _numbers(files, "test/good") == [100, 102, 104, 106, 108]
    assert _numbers(files, "test/class-give-way") == [101, 103, 105, 107, 109]


def test_everything_is_normal_without_a_normal_class(data_dir):
    files = dict(tfds_files(TfdsSettings("tiny_signs", split="test", limit=3), data_dir))
    assert sorted(files) == [f"train/good/{number:05d}.png" for number in range(3)]
    assert all(image.shape == (6, 8, 3) and image.min() >= 100 for image in files.values())


def test_limit_and_a_part_of_a_split(data_dir):
    settings = TfdsSettings(
        "tiny_signs", "train[:60%]", normal="give way", test_split="train[60%:]", limit=2, resolution=4
    )
    files = list(tfds_files(settings, data_dir))
    assert len(_numbers(files, "train/good")) == 2
    assert len(_numbers(files, "test/good")) <= 2
    assert not set(_numbers(files, "train")) & set(_numbers(files, "test"))
    assert all(image.shape == (4, 4, 3) for _, image in files)


def test_squares_have_one_hot_labels_and_the_largest_resolution_that_fits(data_dir):
    squares = list(tfds_squares(TfdsSettings("tiny_signs"), data_dir))
    assert sorted(int(image[0, 0, 0]) for image, _ in squares) == list(range(10))
    for image, label in squares:
        assert image.shape == (4, 4, 3)
        assert label.tolist() == [[1, 0], [0, 1]][image[0, 0, 0] % 2]


@pytest.mark.parametrize(
    ("name", "resolution", "side", "channels", "classes"),
    [("celeb_a_hq/1024", None, 1024, 3, None), ("fashion_mnist", 32, 32, 1, 10), ("mnist", None, 16, 1, 10)],
)
def test_mocked_data_sets(name, resolution, side, channels, classes, tmp_path):
    with tfds.testing.mock_data(num_examples=2):
        squares = list(tfds_squares(TfdsSettings(name, resolution=resolution), str(tmp_path)))
    assert [image.shape for image, _ in squares] == [(side, side, channels)] * 2
    assert [label if label is None else label.sum() for _, label in squares] == [classes and 1] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "fashion_mnits"}, "knows no data set fashion_mnits; did you mean fashion_mnist?"),
        ({"name": "qqqqqqqq"}, "knows no data set qqqqqqqq"),
        ({"name": "a b"}, "the data set a b cannot be opened: Parsing builder name string"),
        ({"name": "celeb_a_hq/77"}, "cannot be opened: its configurations are 1024, 512, 256"),
        ({"name": "mnist:9.9.9"}, "cannot be loaded at version 9.9.9"),
        ({"name": "tiny_words"}, "tiny_words has no image feature; its features are text"),
        ({"name": "tiny_pairs"}, "several image features; name one of left, right"),
        ({"name": "tiny_pairs", "image_feature": "up"}, "no image feature up; the image features are left"),
        ({"name": "tiny_pairs", "image_feature": "left"}, "cannot be downloaded: no connection"),
        ({"name": "tiny_pairs", "image_feature": "left", "normal": "a"}, "has no classes"),
        ({"name": "celeb_a_hq/256"}, "celeb_a_hq/256 is not prepared in"),
        (
            {"name": "tiny_signs", "split": "validation"},
            "no split validation, or no images in it; its splits are train, test",
        ),
        ({"name": "tiny_signs", "normal": "go"}, "no class go; its classes are stop, give way"),
        ({"name": "tiny_signs", "split": "train[:0]"}, "no split train[:0], or no images"),
        ({"name": "tiny_signs", "limit": -1}, "limit must be at least 0; received -1"),
        ({"name": "tiny_signs", "fit": "bend"}, "fit must be one of crop, pad, stretch; received 'bend'"),
        ({"name": "tiny_signs", "resolution": 7}, "resolution must be one of 4, 8"),
    ],
)
def test_mistakes(settings, message, data_dir):
    with pytest.raises(UserError) as caught:
        list(tfds_files(TfdsSettings(**settings), data_dir))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pyramid_of_images_of_unknown_size_needs_a_resolution(tmp_path):
    with tfds.testing.mock_data(num_examples=1), pytest.raises(UserError, match="images of no known size"):
        list(tfds_squares(TfdsSettings("imagenet_a"), str(tmp_path)))
