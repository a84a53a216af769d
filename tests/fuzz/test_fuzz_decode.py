"""The first of the damaged images that `fuzz_decode.py` makes, what once failed, and the watch over it."""

import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
COUNT = 480


@pytest.fixture
def fuzz(monkeypatch):
    """The modules beside this file, which are made to run as scripts."""
    monkeypatch.syspath_prepend(str(HERE))
    import decode_target
    import fuzz_decode
    import image_seeds

    yield fuzz_decode, image_seeds.image_seeds(), decode_target.run_file
    for name in ("decode_target", "fuzz_decode", "image_seeds", "mutate"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_images_are_ingested_or_rejected(fuzz):
    script, seeds, run_file = fuzz
    assert {run_file(content, 200_000) for content in seeds.values()} == {"ingested"}
    outcomes = [run_file(script.damaged_image(0, index, seeds)[1], 200_000) for index in range(COUNT)]
    assert set(outcomes) == {"ingested", "format", "header", "decode"}
    assert outcomes.count("ingested") > COUNT / 20


# The header's numbers stood in the reason as the file had them: hundreds of them, or a text with zeros.
@pytest.mark.parametrize("name", sorted(path.name for path in (HERE / "found").iterdir()))
def test_what_once_failed_is_rejected(fuzz, name):
    assert fuzz[2]((HERE / "found" / name).read_bytes(), 200_000) == "decode"


# In the place of the decoder: one file each that crashes, hangs, swallows memory and raises.
TARGET = """
import os, time
from fuzz_decode import damaged_image
from image_seeds import image_seeds

files = [damaged_image(0, index, image_seeds())[1] for index in range(5)]

def run_file(content, max_pixels):
    number = files.index(content) if content in files else 0
    if number == 1:
        os.abort()
    if number == 2:
        time.sleep(60)
    if number == 3:
        bytearray(200_000_000).find(1)
    if number == 4:
        raise ValueError("against the agreement")
    return "ingested"
"""


def test_crashes_hangs_memory_and_exceptions_are_failures(tmp_path):
    for name in ("fuzz_decode.py", "image_seeds.py", "mutate.py"):
        shutil.copy(HERE / name, tmp_path / name)
    (tmp_path / "decode_target.py").write_text(TARGET)
    command = [sys.executable, "fuzz_decode.py", "--count=40", "--seconds=1", f"--found={tmp_path / 'found'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "40 of 40 files, 4 failures [1, 2, 3, 4]" in done.stdout
    for line in ("file 1: ended with -6", "file 2: hung", "file 3: ", "file 4: Traceback"):
        assert line in done.stdout
    assert sorted(path.name for path in (tmp_path / "found").glob("0-*")) == ["0-1", "0-2", "0-3", "0-4"]
