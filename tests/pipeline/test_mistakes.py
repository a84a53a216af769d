"""What users mistype gets one line and exit code 2."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--data=nowhere"], "the image folder nowhere does not exist"),
        (["run"], "data is missing"),
        (["run", "--data=brick", "--image.resolution=100"], "resolution must be one of 4, 8"),
        (
            ["run", "--data=brick", "--image.channels=2"],
            "image.channels of a pipeline must be one of 1, 3, 4",
        ),
        (["train", "brick", "--output=out", "--resolution=8"], "brick holds no pyramid"),
        (["run", "--data=brick", "--image.resolutoin=64"], "did you mean --image.resolution?"),
        (["run", "--data=brick", "--trainer.ema_half_life=long"], "trainer.ema_half_life must be int"),
        (
            ["run", "--data=brick", "--image.resolution=8", "--trainer.schedule.initial_resolution=16"],
            "initial_resolution must be at most the final resolution 8; received 16",
        ),
        (
            ["config", "--trainer.schedule.batch_sizes={8:1}"],
            "trainer.schedule.batch_sizes must be a dictionary such as '{4: 128, 8: 64}', with a blank",
        ),
        (
            ["config", "--trainer.schedule.batch_sizes={8:128}"],
            "a dictionary such as '{4: 128, 8: 64}', with a blank behind each colon; received '{8:128}'",
        ),
        (["run", "--preset=dmo"], "did you mean demo?"),
        (["run", "--config=nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["config", "--config", "list.yaml"], "list.yaml must be a mapping of settings; it holds list"),
        (["config", "--config=broken.yaml"], "broken.yaml is no valid YAML"),
        (["config", "--config=binary.yaml"], "binary.yaml cannot be read: it is no text"),
        (["config", "--trainer={seed: x}"], "trainer.seed must be int; received 'x'"),
        (["config", "--trainer=3"], "trainer must be a mapping of settings; received '3'"),
        (
            ["config", "--image.resolution=64", "--trainer.scoring.map_resolutions=[512]"],
            "map_resolutions must be at most the final resolution 64; received 512",
        ),
        (["run", "--data=a file"], "the image folder a file is a file"),
        (["run", "--data=brick", "--output=a file"], "the output folder a file cannot be written to"),
        (["run", "--data=brick", "--output=out", "--serving=a file"], "the serving folder a file cannot"),
        (
            ["run", "--data=brick", "--trainer.seed=4294967296"],
            "seed must be at least 0 and at most 4294967295",
        ),
        (["train", "nowhere", "--output=x"], "nowhere is no folder of TFRecord pyramids"),
        (["score", "brick", "--model=damaged"], "the SavedModel in damaged cannot be loaded"),
        (["score", "brick", "--model=x", "--batch-size=0"], "batch-size must be at least 1; received 0"),
        (["score", "nowhere", "--model=x"], "nowhere does not exist"),
        (["score", "brick", "--model=nowhere"], "nowhere holds no SavedModel"),
        (["score", "empty", "--model=x"], "empty holds no images"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    proganomaly: Command, tiny: list[str], folder: Path, arguments: list[str], expected: str
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "a file").touch()
    (folder / "damaged").mkdir(exist_ok=True)
    (folder / "damaged/saved_model.pb").write_bytes(b"no model")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "broken.yaml").write_text("a: [1\n")
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    done = proganomaly(*arguments, cwd=folder)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "runs").exists()


def test_dry_run_prints_the_settings_and_writes_nothing(
    proganomaly: Command, tiny: list[str], folder: Path
) -> None:
    done = proganomaly("run", "--data=brick", "--output=dry", *tiny, "--dry-run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "resolution: 16" in done.stdout
    assert not (folder / "dry").exists()
