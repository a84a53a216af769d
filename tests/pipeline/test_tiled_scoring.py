"""`proganomaly score --tiles`: a table with tile counts, and heatmaps as large as the images."""

import csv
import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.pipeline import cli

RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """An exported model of 8 pixels that takes noise for normal."""
    keras.utils.set_random_seed(1)
    spec = ImageSpec(8, 1)
    networks = build_networks(NetworkSettings(fmap_base=32, fmap_max=4, latent_size=4), spec)
    settings = ScoringSettings(members=("map_top",), components=("map_top",), coreset_size=64)
    scorer = AnomalyScorer(networks, spec, settings)
    noise = RANDOM.integers(100, 156, (80, 8, 8, 1), np.uint8)
    scorer.fit(lambda: [noise[:40]])
    scorer.calibrate(lambda: [noise[40:]])
    serving = ServingModel(scorer)
    folder = str(tmp_path_factory.mktemp("model"))
    signatures = serving.signatures()
    tf.saved_model.save(serving, folder, {name: signatures[name] for name in ("explain", "tiles")})
    return folder


@pytest.fixture(scope="module")
def scored(model, tmp_path_factory):
    """Output folder, and rows of the table by file, of a large image and a small one."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "images").mkdir()
    large = RANDOM.integers(100, 156, (20, 26), np.uint8)
    large[9:13, 15:19] = [[0, 255] * 2] * 4
    Image.fromarray(large).convert("RGB").save(folder / "images/large.png")
    Image.fromarray(large[:5, :6]).save(folder / "images/small.bmp")
    output = folder / "output"
    arguments = [str(folder / "images"), f"--model={model}", f"--output={output}", "--tiles"]
    assert cli.main(["score", *arguments]) == 0
    with open(output / "scores.csv") as file:
        return output, {row["file"]: row for row in csv.DictReader(file)}


def test_the_table_has_a_row_per_image_with_its_tiles(scored):
    rows = scored[1]
    assert {name: row["tile_count"] for name, row in rows.items()} == {"large.png": "12", "small.bmp": "1"}
    assert rows["large.png"]["is_anomaly"] == "True"
    for row in rows.values():
        assert (row["is_anomaly"] == "True") == (float(row["score"]) > float(row["threshold"]))
    assert float(rows["large.png"]["threshold"]) > float(rows["small.bmp"]["threshold"])
    assert not any(name.startswith(("tile_scores", "tile_boxes", "anomaly_map")) for name in row)


def test_heatmaps_are_as_large_as_the_images_and_glow_at_the_defect(scored):
    pixels = {}
    for name in scored[1]:
        with Image.open(scored[0] / "heatmaps" / f"{name}.png") as picture:
            pixels[name] = np.asarray(picture, np.float64)
    assert {name: shown.shape for name, shown in pixels.items()} == {
        "large.png": (20, 26, 3),
        "small.bmp": (5, 6, 3),
    }
    # Colours over grey; the defect is far from the left edge.
    colourful = np.ptp(pixels["large.png"], axis=2)
    assert colourful[9:13, 15:19].mean() > 80 > 4 * colourful[:, :6].mean()


def test_a_model_of_tiles_scores_by_tiles_by_itself(model, scored, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model/assets.extra").mkdir(exist_ok=True)
    (tmp_path / "model/assets.extra/model.json").write_text(json.dumps({"image": {"fit": "tiles"}}))
    images = scored[0].parent / "images"
    arguments = [str(images), f"--model={tmp_path / 'model'}", f"--output={tmp_path / 'out'}"]
    assert cli.main(["score", *arguments]) == 0
    assert "and above, by the number of tiles" in capsys.readouterr().out
    assert (tmp_path / "out/scores.csv").read_text() == (scored[0] / "scores.csv").read_text()
    with Image.open(tmp_path / "out/heatmaps/large.png.png") as picture:
        assert picture.size == (26, 20)


def test_the_summary_names_what_is_no_image(model, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "images/black.png")
    (tmp_path / "images/text.png").write_text("no image")
    arguments = [str(tmp_path / "images"), f"--model={model}", f"--output={tmp_path / 'out'}", "--tiles"]
    assert cli.main(["score", *arguments]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 images scored, 1 anomalous (threshold ")
    assert "and above, by the number of tiles); 1 could not be read" in printed
    assert "text.png: not a PNG, JPEG, BMP, GIF, TIFF or WebP image" in printed


@pytest.mark.parametrize("how", [[], ["--tiles"]])
def test_what_ingestion_transcodes_is_scored_as_the_same_pixels(model, tmp_path, how):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (9, 14), np.uint8)
    image = Image.fromarray(pixels)
    image.save(folder / "a.png")
    image.save(folder / "b.TIF", compression="tiff_lzw")
    image.convert("RGB").save(folder / "c.webp", lossless=True)
    Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / "d.tiff")
    exif = Image.Exif()
    exif[0x0112] = 3
    image.rotate(180).save(folder / "e.tiff", exif=exif)
    image.rotate(180).save(folder / "f.png", exif=exif)
    (folder / "g.tiff").write_bytes((folder / "d.tiff").read_bytes()[:-40])
    output = tmp_path / "out"
    assert cli.main(["score", str(folder), f"--model={model}", f"--output={output}", *how]) == 0
    with open(output / "scores.csv") as file:
        scores = {row["file"]: float(row["score"]) for row in csv.DictReader(file)}
    assert sorted(scores) == ["a.png", "b.TIF", "c.webp", "d.tiff", "e.tiff", "f.png"]
    assert scores == dict.fromkeys(scores, pytest.approx(scores["a.png"], rel=1e-6))


def test_what_is_no_file_or_has_no_name_is_told_and_does_not_end_the_rest(model, tmp_path, capsys):
    folder = tmp_path / "images"
    (folder / "ground_truth/cut").mkdir(parents=True)
    image = Image.fromarray(RANDOM.integers(100, 156, (8, 8), np.uint8))
    for name in ("fine.png", ".hidden.png", "ground_truth/cut/mask.png"):
        image.save(folder / name)
    os.mkfifo(folder / "pipe.png")
    shutil.copy(os.fsencode(folder / "fine.png"), os.fsencode(folder) + b"/\xff.png")
    output = tmp_path / "output"
    assert cli.main(["score", str(folder), f"--model={model}", f"--output={output}"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 images scored") and "2 could not be read" in printed
    assert "pipe.png: no file but a named pipe" in printed
    assert "\\xff.png: its name is not UTF-8" in printed
    with open(output / "scores.csv") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["fine.png"]
