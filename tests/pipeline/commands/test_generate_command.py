"""`proganomaly generate`: the files it writes, decoded again, and what it says of mistakes."""

import hashlib
import json
from pathlib import Path

import imageio_ffmpeg
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageSequence
from scipy import stats

from proganomaly.components.errors import UserError
from proganomaly.components.images.display import displayable
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.model.networks import build_networks
from proganomaly.components.model.scorer import AnomalyScorer
from proganomaly.components.model.serving import ServingModel
from proganomaly.components.model.settings import NetworkSettings, ScoringSettings
from proganomaly.components.settings import to_json
from proganomaly.components.trainer import stored_weights
from proganomaly.components.trainer.warm_start import EXPORTED_WEIGHTS
from proganomaly.pipeline import cli
from proganomaly.pipeline.commands import generate
from proganomaly.pipeline.generation import ServedGenerator

SIDE = 8


def save_model(folder: Path, channels: int, signature: str = "generate", label_count: int = 0) -> str:
    keras.utils.set_random_seed(5)
    spec = ImageSpec(SIDE, channels)
    settings = NetworkSettings(fmap_base=64, fmap_max=8, latent_size=8, label_count=label_count)
    networks = build_networks(settings, spec)
    serving = ServingModel(AnomalyScorer(networks, spec, ScoringSettings()))
    # Signature and generator alone: the rest needs a calibrated scorer.
    holder = tf.Module()
    holder.generator = networks.generator
    tf.saved_model.save(holder, str(folder), signatures={signature: serving.signatures()["generate"]})
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("models")
    return {channels: save_model(folder / str(channels), channels) for channels in (1, 2, 3, 4, 5)}


def write_manifest(model: str, label_count: int) -> None:
    """Writes what an export tells of its networks, without the weights."""
    networks = NetworkSettings(label_count=label_count)
    content = to_json(stored_weights.describe(networks, ImageSpec(SIDE, 1)))
    path = Path(model, f"{EXPORTED_WEIGHTS}.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"content": content, "sha256": hashlib.sha256(content.encode()).hexdigest()}))


def served_images(model: str, latents: np.ndarray) -> np.ndarray:
    return tf.saved_model.load(model).signatures["generate"](latents=tf.constant(latents))["images"].numpy()


def normal(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


def gif_frames(path: Path) -> np.ndarray:
    with Image.open(path) as film:
        assert film.info["loop"] == 0
        assert film.info["duration"] == 40
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)])


def mp4_frames(path: Path) -> np.ndarray:
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    assert (facts["codec"], facts["fps"]) == ("h264", 25)
    width, height = facts["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_single_images_are_the_models_and_the_grid_shows_the_same(channels, mode, models, tmp_path, capsys):
    words = [models[channels], str(tmp_path), "--images=6", "--grid=2x3", "--seed=9"]
    assert generate.main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/grid.png: 2 x 3 images",
        f"{tmp_path}/images: 6 images",
    ]
    expected = served_images(models[channels], normal(6, seed=9))
    paths = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in paths] == [f"{number:06d}.png" for number in range(6)]
    for path, pixels in zip(paths, expected, strict=True):
        image = Image.open(path)
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    # Enlarged to 64 pixels, 2 between them: every eighth is one of the model's.
    shown = displayable(expected)
    grid = np.asarray(Image.open(tmp_path / "grid.png")).reshape(2 * 66 - 2, 3 * 66 - 2, -1)
    padded = np.pad(grid, [(0, 2), (0, 2), (0, 0)]).reshape(2, 66, 3, 66, -1)
    tiles = padded[:, :64:8, :, :64:8].swapaxes(1, 2)
    np.testing.assert_array_equal(tiles.reshape(shown.shape), shown)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_films_have_all_frames_which_differ_and_close_their_loop(channels, models, tmp_path):
    words = [models[channels], str(tmp_path), "--interpolation=8", "--stops=3", "--format=both"]
    assert generate.main(words) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interpolation.gif", "interpolation.mp4"]
    for frames in (gif_frames(tmp_path / "interpolation.gif"), mp4_frames(tmp_path / "interpolation.mp4")):
        assert frames.shape == (24, 256, 256, 3)
        values = frames.astype(float)
        steps = np.abs(np.roll(values, -1, axis=0) - values).mean(axis=(1, 2, 3))
        # The last step leads from the last frame to the first.
        assert steps.min() > 0
        assert steps[-1] < 2 * np.median(steps)
        assert np.abs(values[0] - values[12]).mean() > 2 * np.median(steps)
        # The latents themselves are frames 0, 8 and 16, but for 256 colours and the film's compression.
        stops = displayable(served_images(models[channels], normal(3, seed=1)))
        shown = values[::8, 16::32, 16::32]
        assert np.abs(shown - stops).mean() < 12


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_one_format_makes_one_film(kind, models, tmp_path):
    assert generate.main([models[1], str(tmp_path), "--interpolation=1", f"--format={kind}"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"interpolation.{kind}"]


@pytest.mark.parametrize(("channels", "mode"), [(2, "L"), (5, "RGB")])
def test_other_numbers_of_channels_are_shown_as_grids_of_samples_are(channels, mode, models, tmp_path):
    words = ["--images=1", "--grid=1x1", "--interpolation=2", "--format=both"]
    generate.main([models[channels], str(tmp_path), *words])
    pixels = displayable(served_images(models[channels], normal(1, seed=1)))[0]
    image = Image.open(tmp_path / "images/000000.png")
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    for frames in (gif_frames(tmp_path / "interpolation.gif"), mp4_frames(tmp_path / "interpolation.mp4")):
        assert frames.shape == (8, 256, 256, 3)
        assert np.abs(frames[0, 16::32, 16::32].astype(float) - pixels).mean() < 12


def test_nothing_asked_for_is_a_grid_of_the_newest_version(models, tmp_path):
    versions = tmp_path / "serving"
    for number, channels in ((9, 1), (10, 3)):
        tf.io.gfile.makedirs(str(versions))
        Path(models[channels]).rename(versions / str(number))
    try:
        assert generate.main([str(versions), str(tmp_path / "out")]) == 0
    finally:
        for number, channels in ((9, 1), (10, 3)):
            (versions / str(number)).rename(models[channels])
    grid = Image.open(tmp_path / "out/grid.png")
    assert (grid.size, grid.mode) == ((8 * 66 - 2, 4 * 66 - 2), "RGB")


def test_equal_seeds_make_equal_files_and_others_other_ones(models, tmp_path):
    contents = []
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate.main([models[1], str(tmp_path / out), "--grid=1x2", "--interpolation=3", f"--seed={seed}"])
        contents.append([path.read_bytes() for path in sorted((tmp_path / out).iterdir())])
    assert contents[0] == contents[1]
    assert all(first != other for first, other in zip(contents[0], contents[2], strict=True))


def test_truncated_latents_are_of_the_truncated_normal(models, tmp_path):
    generator = ServedGenerator(models[1])
    whole, cut = generator.codes(500, seed=3), generator.codes(500, seed=3, truncation=0.7)
    assert np.abs(whole).max() > 3
    assert np.abs(cut).max() <= 0.7
    assert stats.kstest(whole.ravel(), stats.norm.cdf).pvalue > 0.01
    assert stats.kstest(cut.ravel(), stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01
    np.testing.assert_array_equal(generator.codes(20, seed=3), whole[:20])
    for name, options in (("whole", []), ("cut", ["--truncation=0.7"])):
        generate.main([models[1], str(tmp_path / name), "--images=1", *options])
    files = [(tmp_path / name / "images/000000.png").read_bytes() for name in ("whole", "cut")]
    assert files[0] != files[1]


def test_the_way_between_latents_is_an_arc_of_equal_steps(models):
    stops = normal(4, seed=2)
    walk = ServedGenerator(models[1]).looped(stops, 10)
    np.testing.assert_allclose(walk[::10], stops, atol=1e-5)
    loop = np.concatenate([walk, walk[:1]])
    for start in range(0, 40, 10):
        way = loop[start : start + 11].astype(float)
        unit = way / np.linalg.norm(way, axis=1, keepdims=True)
        # Arcs of spherical interpolation keep between the lengths of their ends, as no straight way does.
        lengths = np.linalg.norm(way, axis=1)
        assert lengths.min() >= 0.9 * min(lengths[0], lengths[-1])
        angles = np.arccos((unit[:-1] * unit[1:]).sum(axis=1).clip(-1, 1))
        assert angles.sum() == pytest.approx(np.arccos(unit[0] @ unit[-1]), rel=1e-3)


def test_a_conditional_model_shows_one_class_after_the_other_or_the_one_asked_for(tmp_path):
    model = save_model(tmp_path / "model", 1, label_count=3)
    write_manifest(model, label_count=3)
    latents = normal(4, seed=1)
    for options, labels in (([], [0, 1, 2, 0]), (["--label=2"], [2, 2, 2, 2])):
        out = tmp_path / str(labels)
        assert generate.main([model, str(out), "--images=4", *options]) == 0
        one_hot = np.eye(3, dtype=np.float32)[labels]
        expected = served_images(model, np.concatenate([latents, one_hot], axis=1))
        shown = [np.asarray(Image.open(path)) for path in sorted((out / "images").iterdir())]
        np.testing.assert_array_equal(shown, expected[..., 0])
    generator = ServedGenerator(model)
    walk = generator.looped(generator.codes(2, seed=1), 4)
    np.testing.assert_allclose(walk[:, 8:], [[1 - s, s, 0] for s in (0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25)])
    with pytest.raises(UserError, match="label must be at least 0 and at most 2; received 3"):
        generate.main([model, str(tmp_path / "out"), "--label=3"])
    Path(model, f"{EXPORTED_WEIGHTS}.json").write_text("{}")
    with pytest.raises(UserError, match=r"is damaged: .*weights.json is no manifest"):
        generate.main([model, str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "out"], "nowhere holds no SavedModel"),
        (["damaged", "out"], "the SavedModel in damaged cannot be loaded"),
        (["other", "out"], "the model other needs the signature generate; it has encode"),
        (["MODEL", "a file"], "the output folder a file cannot be written to"),
        (["MODEL", "out", "--grid=4"], "grid must be ROWSxCOLUMNS, such as 4x8; received '4'"),
        (["MODEL", "out", "--grid=0x3"], "grid must be ROWSxCOLUMNS, such as 4x8; received '0x3'"),
        (["MODEL", "out", "--images=0"], "images must be at least 1; received 0"),
        (["MODEL", "out", "--interpolation=-3"], "interpolation must be at least 1; received -3"),
        (["MODEL", "out", "--interpolation=3", "--stops=1"], "stops must be at least 2; received 1"),
        (["MODEL", "out", "--format=avi"], "format must be one of gif, mp4, both; received 'avi'"),
        (["MODEL", "out", "--truncation=0"], "truncation must be above 0; received 0"),
        (["MODEL", "out", "--label=1"], "the model takes no labels; received label 1"),
        (["MODEL", "out", "--seed=-1"], "seed must be at least 0; received -1"),
        (["MODEL", "out", "--image=3"], "unknown option --image; did you mean --images?"),
        (["MODEL"], "out"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(words, message, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/saved_model.pb").write_bytes(b"no model")
    if words[0] == "other":
        save_model(tmp_path / "other", 1, signature="encode")
    assert cli.main(["generate", *(models[1] if word == "MODEL" else word for word in words)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "out").exists()
