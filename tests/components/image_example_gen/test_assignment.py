"""Which image belongs to which split."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.image_example_gen.assignment import assign
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings
from proganomaly.components.images import near_identical
from proganomaly.components.records.image_index import IndexEntry

BY_HASH = ImageExampleGenSettings(calibration_share=0.2, test_share=0.3)


def entry(name, pixels=None, split="", label=0, group="", span=0):
    """An image of random pixels, its thumbnail their own."""
    if pixels is None:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    return IndexEntry(
        path=name,
        span=span,
        split=split,
        label=label,
        defect_type="good" if label == 0 else "cut",
        group=group,
        format="png",
        height=16,
        width=16,
        channels=1,
        brightness=0.5,
        contrast=0.1,
        sharpness=0.1,
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        thumbnail=near_identical.to_text(pixels),
    )


def splits(entries, settings=BY_HASH):
    return {found.path: found.split for found in assign(entries, settings).entries}


def test_shares_are_kept_and_nothing_is_lost():
    found = splits([entry(f"{i}.png") for i in range(2000)])
    counts = {split: list(found.values()).count(split) for split in ("train", "calibration", "test")}
    assert len(found) == 2000
    # Four standard deviations of a binomial distribution.
    assert counts["calibration"] == pytest.approx(400, abs=72)
    assert counts["test"] == pytest.approx(600, abs=82)
    assert counts["train"] + counts["calibration"] + counts["test"] == 2000


@given(st.permutations(range(30)), st.integers(1, 30))
def test_a_choice_hangs_on_the_image_alone(order, number):
    everything = [entry(f"{i}.png") for i in range(30)]
    all_splits = splits(everything)
    some = splits([everything[i] for i in order[:number]])
    moved = [path for path in some if some[path] != all_splits[path]]
    # Of few images one may be held out that would not be among many, so that there is one.
    assert len(moved) <= 1
    assert all(some[path] == "calibration" for path in moved)


def test_a_renamed_image_stays_where_it_was():
    images = [entry(f"{i}.png") for i in range(50)]
    renamed = [dataclasses.replace(image, path=f"x{image.path}") for image in images]
    assert {f"x{path}": split for path, split in splits(images).items()} == splits(renamed)


def test_near_identical_images_share_a_split_and_others_do_not_move():
    rng = np.random.default_rng(0)
    originals = [rng.integers(20, 230, (16, 16), dtype=np.uint8) for _ in range(60)]
    images = [entry(f"{i}.png", pixels) for i, pixels in enumerate(originals)]
    alone = splits(images)
    copies = [
        entry(f"z{i}.png", (pixels + rng.integers(-2, 3, (16, 16))).astype(np.uint8))
        for i, pixels in enumerate(originals)
    ]
    together = splits(images + copies)
    assert {path: together[path] for path in alone} == alone
    assert [together[f"z{i}.png"] for i in range(60)] == [alone[f"{i}.png"] for i in range(60)]
    exact = ImageExampleGenSettings(calibration_share=0.2, test_share=0.3, near_identical=0)
    apart = splits(images + copies, exact)
    assert any(apart[f"z{i}.png"] != apart[f"{i}.png"] for i in range(60))


def test_a_scene_that_hardly_changes_is_split_image_by_image_and_told():
    rng = np.random.default_rng(0)
    scene = rng.integers(20, 230, (16, 16))
    images = [entry(f"{i}.png", (scene + rng.integers(-1, 2, (16, 16))).astype(np.uint8)) for i in range(200)]
    result = assign(images, BY_HASH)
    assert len({found.split for found in result.entries}) == 3
    (note,) = result.notes
    assert note.startswith("200 of 200 images are at most 2.0 grey levels apart (ingest.near_identical)")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40))
def test_groups_never_straddle(names):
    images = [entry(f"{i}.png", group=name) for i, name in enumerate(names)]
    found = splits(images)
    for name in set(names):
        assert len({found[f"{i}.png"] for i, other in enumerate(names) if other == name}) == 1


def test_copies_are_told_from_originals_and_the_measured_one_stays():
    same = np.arange(256, dtype=np.uint8).reshape(16, 16)
    images = [
        entry("train/good/a.png", same, split="train"),
        entry("train/good/b.png", split="train"),
        entry("test/good/a.png", same, split="test"),
        entry("calibration/good/a.png", same, split="calibration"),
        entry("calibration/good/c.png", split="calibration"),
    ]
    result = assign(images, ImageExampleGenSettings())
    assert {copy.path: kept for copy, kept in result.duplicates} == {
        "train/good/a.png": "test/good/a.png",
        "calibration/good/a.png": "test/good/a.png",
    }
    assert len(result.entries) == 3
    kept = assign(images, ImageExampleGenSettings(duplicates="keep"))
    assert len(kept.entries) == 5 and not kept.duplicates
    assert kept.notes == [
        "1 groups of near-identical images stand in several splits, as the folders have them: "
        "calibration/good/a.png and test/good/a.png, for instance"
    ]


def test_only_normal_images_fit_anything():
    images = [entry(f"{i}.png", label=(0, 1, None)[i % 3]) for i in range(90)]
    found = splits(images)
    assert {found[f"{i}.png"] for i in range(90) if i % 3} == {"test"}


def test_folders_win_over_shares():
    images = [entry(f"{i}.png") for i in range(200)]
    images += [entry("c.png", split="calibration"), entry("t.png", split="test")]
    found = splits(images)
    assert found.pop("c.png") == "calibration" and found.pop("t.png") == "test"
    assert set(found.values()) == {"train"}
    # An anomaly alone is no test of false alarms: normal images are held out beside it.
    found = splits([*images[:200], entry("t.png", split="test", label=1)])
    assert list(found.values()).count("test") > 20


def test_few_images_give_one_for_calibration():
    for number in range(2, 12):
        settings = ImageExampleGenSettings(calibration_share=1e-9)
        found = splits([entry(f"{number}/{i}.png") for i in range(number)], settings)
        assert sorted(found.values())[0] == "calibration"
        assert list(found.values()).count("train") == number - 1
    assert splits([entry("0.png")], ImageExampleGenSettings(calibration_share=1e-9)) == {"0.png": "train"}


def test_no_images():
    assert assign([], BY_HASH).entries == []
