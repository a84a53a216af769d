"""The command line as a user has it: one process per command, in a folder of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGANOMALY = [sys.executable, "-m", "proganomaly.pipeline"]
# Networks that train in seconds, through one change of resolution.
TINY = [
    "--image.resolution=16",
    "--image.channels=1",
    "--trainer.networks={fmap_base: 64, fmap_max: 8}",
    "--trainer.schedule={initial_resolution: 8, fading_images: 48, stable_images: 32, final_images: 64}",
    "--trainer.logging.images_per_tick=16",
    "--trainer.scoring.coreset_size=256",
    "--evaluator.min_image_auroc=0",
]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of a run that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def proganomaly() -> Command:
    """Runs `proganomaly ARGUMENTS` in `cwd`, to its end."""

    def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGANOMALY, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts `proganomaly ARGUMENTS` in `cwd`, its output in pipes."""

    def popen(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*PROGANOMALY, *arguments], cwd=cwd, stdout=pipe, stderr=pipe, text=True)

    return popen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, proganomaly: Command) -> Path:
    """A folder with a data set `brick`: 54 images, and one file that is none."""
    folder = tmp_path_factory.mktemp("run")
    sizes = ["--crop-size=32", "--train-images=24", "--calibration-images=12", "--test-good-images=8"]
    made = proganomaly("dataset", "texture", "brick", *sizes, "--images-per-defect=2", cwd=folder)
    assert made.returncode == 0, made.stderr
    (folder / "brick/train/good/zero bytes.png").touch()
    return folder
