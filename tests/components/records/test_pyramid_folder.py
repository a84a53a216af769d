"""`pyramid.json`: round trip and damage."""

import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.records import pyramid_folder


def test_round_trip_leaves_one_file(tmp_path):
    info = pyramid_folder.PyramidInfo(ImageSpec(64, 1, "pad"), {"train": 12, "calibration": 3})
    folder = tmp_path / "new" / "pyramid"
    pyramid_folder.write_pyramid_info(str(folder), info)
    pyramid_folder.write_pyramid_info(f"{folder}/", info)
    assert pyramid_folder.read_pyramid_info(str(folder)) == info
    assert [path.name for path in folder.iterdir()] == ["pyramid.json"]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"is no pyramid folder: pyramid\.json is missing"):
        pyramid_folder.read_pyramid_info(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{}", '{"spec": {"resolution": 5}, "images": {}}'])
def test_damage_is_one_line(tmp_path, text):
    (tmp_path / "pyramid.json").write_text(text)
    with pytest.raises(UserError, match=r"pyramid\.json is damaged") as caught:
        pyramid_folder.read_pyramid_info(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_split_folder():
    assert pyramid_folder.split_folder("a/b/", "train") == "a/b/Split-train"
