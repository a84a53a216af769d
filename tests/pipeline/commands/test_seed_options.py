"""The compatibility form of `train`: every word reaches what it names, and mistakes are one line."""

import json

import numpy as np
import pytest
import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.trainer import fit
from proganomaly.components.trainer.settings import ScheduleSettings, TrainerSettings
from proganomaly.pipeline import cli
from proganomaly.pipeline.commands.seed_options import DEFAULT_OUTPUT, SeedForm, translated

COUNT, TRAINED = 30, 24


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Single files as the original tool wrote them, up to 16 pixels, of one channel."""
    folder, random = tmp_path_factory.mktemp("records"), np.random.default_rng(0)
    for level in (2, 3, 4):
        shape = (1, 2**level, 2**level)
        with tf.io.TFRecordWriter(str(folder / f"train_data-r{level:02}.tfrecords")) as writer:
            for _ in range(COUNT):
                example = tf.train.Example()
                example.features.feature["shape"].int64_list.value.extend(shape)
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                example.features.feature["data"].bytes_list.value.append(pixels.tobytes())
                writer.write(example.SerializeToString())
    return str(folder)


@pytest.fixture
def asked_for(records, monkeypatch, tmp_path):
    """Runs `train` without its training; returns what it would have trained with."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> dict:
        names = ("reference", "calibration", "spec", "settings")
        asked = {}
        monkeypatch.setattr(
            fit, "fit_model", lambda *values, **named: asked.update(zip(names, values, strict=True), **named)
        )
        assert cli.main(["train", *words]) == 0
        return asked

    return run


@pytest.mark.option("records")
def test_the_folder_alone_is_enough(asked_for, records):
    asked = asked_for("-d", records)
    assert asked["settings"] == TrainerSettings()
    assert asked["spec"] == ImageSpec(16, 1)
    assert asked["model_folder"] == f"{DEFAULT_OUTPUT}/model"
    assert asked["reference"].images == TRAINED


SHORT = ["-d", "RECORDS", "-B", "{'4': '32', '8': '16'}", "-E", "{'4': '2', '8': '5'}", "-L"]
SHORT += ["{'4': '12', '8': '6'}", "-s", "4", "-S", "8", "-p", "train_data-r", "-x", ".tfrecords", "-e", "7"]
SHORT += ["-l", "0.002", "-c", "1", "-i", "5", "-f", "50", "-C", "mine", "-V", "ERROR"]
LONG = ["--data_input_dir", "RECORDS", "--batch_size_dict={4: 32, 8: 16}", "--epoch_size_dict"]
LONG += ['{"4": 2, "8": "5"}', '--latent_size_dict={"4": 12, "8": 6}', "--min_image_size=4"]
LONG += ["--max_image_size", "8", "--tf_record_prefix=train_data-r", "--tf_record_suffix", ".tfrecords"]
LONG += ["--encoder_dim=7", "--learning_rate=2e-3", "--channels=1", "--image_num=5", "--fade_num=50"]
LONG += ["--checkpoint_name=mine", "--verbose=ERROR"]


@pytest.mark.parametrize("words", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.option("--prefix", "--suffix")
def test_every_word_reaches_what_it_names(asked_for, records, words):
    asked = asked_for(*(records if word == "RECORDS" else word for word in words))
    settings = asked["settings"]
    assert asked["spec"] == ImageSpec(8, 1)
    assert settings.schedule.initial_resolution == 4
    assert settings.schedule.batch_sizes == {4: 32, 8: 16}
    assert settings.networks.feature_maps_at == {4: 12, 8: 6}
    assert settings.networks.latent_size == 7
    assert settings.optimizer.learning_rate == 0.002
    assert settings.logging.samples == 5
    assert settings.logging.verbosity == "ERROR"
    assert settings.checkpoints.prefix == "mine"
    # Two passes at 4 pixels, five at 8: of those the first 50 images fade in.
    assert settings.schedule.unit == "images"
    assert settings.schedule.fading_images_at == {4: 0, 8: 50}
    assert settings.schedule.stable_images_at == {4: 2 * TRAINED, 8: 5 * TRAINED - 50}


def test_both_forms_mix(asked_for, records, tmp_path):
    (tmp_path / "mine.yaml").write_text("output: from-file\ntrainer: {seed: 5, ema_half_life: 7}\n")
    asked = asked_for("-d", records, "--config", "mine.yaml", "--trainer.seed=6", "-l", "0.5")
    assert asked["model_folder"] == "from-file/model"
    assert (asked["settings"].seed, asked["settings"].ema_half_life) == (6, 7)
    assert asked["settings"].optimizer.learning_rate == 0.5
    twice = asked_for("-d", records, "-l0.5", "--trainer.optimizer.learning_rate", "0.1", "--output=there")
    assert (twice["settings"].optimizer.learning_rate, twice["model_folder"]) == (0.5, "there/model")
    asked = asked_for(records, "--output", "there", "-S8")
    assert (asked["model_folder"], asked["spec"].resolution) == ("there/model", 8)


@pytest.mark.option("--resolution", "--output")
def test_our_own_form_names_its_folders_and_the_exact_resolution(asked_for, records, capsys):
    asked = asked_for(records, "--output=there", "--resolution=8")
    assert (asked["model_folder"], asked["spec"].resolution) == ("there/model", 8)
    assert cli.main(["train", records]) == 2
    assert "required: output" in capsys.readouterr().err


def test_sizes_above_the_limit_are_left_out_and_a_limit_beyond_them_is_none(asked_for, records):
    assert asked_for("-d", records, "-S", "1024")["spec"].resolution == 16
    assert asked_for("-d", records, "-S", "4")["spec"].resolution == 4


def test_a_stage_shorter_than_its_fade_in_is_all_fade_in():
    settings = SeedForm({8: 3, 16: 10}).settings(TrainerSettings(), images=1_500, channels=3)
    assert settings.schedule.fading_images_at == {8: 4_500, 16: 10_000}
    assert settings.schedule.stable_images_at == {8: 0, 16: 5_000}


def test_our_own_lengths_in_epochs_stay_what_they_are_beside_it():
    ours = ScheduleSettings(unit="epochs", fading_images=1, stable_images=2, stable_images_at={16: 4})
    schedule = SeedForm({8: 6}, fading=70).settings(TrainerSettings(schedule=ours), 100, 3).schedule
    assert (schedule.unit, schedule.fading_images, schedule.stable_images) == ("images", 70, 200)
    assert schedule.fading_images_at == {8: 70}
    assert schedule.stable_images_at == {8: 530, 16: 400}


@pytest.mark.parametrize(
    "words, message",
    [
        (["-B", "128"], "--batch_size_dict must be a dictionary such as .*; received 128"),
        (["-B", "{4: 128"], "--batch_size_dict must be a dictionary such as .*; received {4: 128"),
        (
            ["-L", "{'6': 8}"],
            "an image size in --latent_size_dict must be a power of two from 4 to 1024; .* 6",
        ),
        (["-E", "{'x': 8}"], "an image size in --epoch_size_dict must be a whole number; received 'x'"),
        (["-E", "{'8': 'many'}"], r"--epoch_size_dict\[8\] must be a whole number; received 'many'"),
        (["-B", "{'8': 1.5}"], r"--batch_size_dict\[8\] must be a whole number; received 1.5"),
        (["-B", "{'8': 0}"], r"batch_sizes\[8\] must be at least 1; received 0"),
        (["-B", "{__import__('os'): 1}"], "--batch_size_dict must be a dictionary such as"),
        (["-c", "three"], "--channels must be a whole number; received 'three'"),
        (["-c", "3"], "--channels must be 1, as the images have; received 3"),
        (["-S", "2"], "--max_image_size must be at least 4, the smallest size that is there; received 2"),
        (
            ["-p", "train_data-"],
            "--tf_record_prefix must end with r, as in train_data-r; received train_data-",
        ),
        (["-x"], "argument -x/--tf_record_suffix: expected one argument"),
        (["-V", "LOUD"], "verbosity must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL; received 'LOUD'"),
        (["-l", "fast"], "trainer.optimizer.learning_rate must be float; received 'fast'"),
        (["-s", "32"], "initial_resolution must be at most the final resolution 16; received 32"),
    ],
)
def test_a_mistake_is_one_line(words, message, records, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "-d", records, *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    with pytest.raises(UserError, match=message):
        raise UserError(line)


def test_words_without_the_form_stay_as_they_are():
    words = ["folder", "--output", "x", "--trainer.schedule.batch_sizes={8: 4}", "--config=c.yaml", "-h"]
    words += ["--trainer.schedule.initial_alpha", "-1", "--unknown", "--trainer.logging.metrics", "[swd]"]
    assert translated(words) == (words, SeedForm())


def test_the_help_explains_the_form(capsys):
    assert cli.main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in ("-d/--data_input_dir", "-B/--batch_size_dict", "-V/--verbose", "{'4': '128', '8': '64'}"):
        assert name in text


def test_a_run_in_this_form_trains_and_exports(records, tmp_path, monkeypatch):
    """Nothing stands in for training here: one pass at 4 pixels, two at 8, the last 28 at full weight."""
    monkeypatch.chdir(tmp_path)
    words = ["-B", "{'4': '12', '8': '12'}", "-E", "{4: 1, 8: 2}", "-L", "{'4': 4, '8': 4}", "-e", "4"]
    words += ["-f", "20", "-S", "8", "-i", "2", "--trainer.execution.mode=eager"]
    words += ["--trainer.logging.images_per_tick=12", "--trainer.networks.fmap_max=4"]
    words += ["--trainer.scoring.coreset_size=32"]
    assert cli.main(["train", "-d", records, *words]) == 0
    (stats,) = (tmp_path / DEFAULT_OUTPUT / "run").glob("*/stats.jsonl")
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    # Phases end with a whole batch: 20 images of fade-in take two of 12, and 28 behind it three.
    assert lines[-1]["images_seen"] == TRAINED + 24 + 36
    assert {line["resolution"] for line in lines if line["images_seen"] <= TRAINED} == {4}
    assert {line["resolution"] for line in lines if line["images_seen"] > TRAINED} == {8}
    assert (tmp_path / DEFAULT_OUTPUT / "model" / "saved_model.pb").exists()
