"""Ingest and pyramid of 2,000 images on a real portable engine, beside the DirectRunner; workers killed.

`make test-portable` runs it on Prism, `make test-flink` on an embedded Flink.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import data_path  # noqa: E402

IMAGES, BROKEN = 2_000, 200
ENGINE = os.environ.get("BEAM_ENGINE", "")
PRISM = HERE.parents[1] / "data/prism/prism"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ENGINE, reason="an engine is chosen by make test-portable or make test-flink"),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder of images, and what the DirectRunner makes of it."""
    folder = tmp_path_factory.mktemp("direct")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(IMAGES):
        path = folder / f"images/{number:04d}.png"
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        if number % BROKEN == 7:
            path.write_bytes(path.read_bytes()[:100])
    data_path.ingest(str(folder), [])
    data_path.pyramid(str(folder), [])
    return folder, data_path.outputs(folder)


@pytest.fixture
def options(tmp_path):
    """Options of the engine; its workers note their process ids in the test's folder."""
    if ENGINE == "flink":
        # Beam fetches its job server by itself.
        return ["--runner=FlinkRunner", "--flink_master=[local]", "--environment_type=LOOPBACK"]
    script = tmp_path / "worker.sh"
    script.write_text(
        f'#!/bin/sh\necho $$ > {tmp_path}/$$.pid\nexec {sys.executable} {HERE}/worker.py "$@"\n'
    )
    script.chmod(0o755)
    return [
        "--runner=PrismRunner",
        f"--prism_location={PRISM}",
        "--environment_type=PROCESS",
        f'--environment_config={{"command": "{script}"}}',
    ]


def _start(component, folder, options):
    with open(folder / f"{component}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, str(HERE / "data_path.py"), component, str(folder), *options],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _run(component, folder, options):
    process = _start(component, folder, options)
    try:
        code = process.wait(300)
    finally:
        process.kill()
    assert code == 0, (folder / f"{component}.log").read_text()[-3000:]


def test_the_same_records(reference, options, tmp_path):
    source, expected = reference
    shutil.copytree(source / "images", tmp_path / "images")
    for component in ("ingest", "pyramid"):
        _run(component, tmp_path, options)
    assert data_path.outputs(tmp_path) == expected


@pytest.mark.skipif(ENGINE == "flink", reason="loopback workers are threads of the submitting process")
@pytest.mark.parametrize(
    "component, half_written, complete",
    [
        ("ingest", "store/*/.images-*", "store/*/inspected.json"),
        ("pyramid", "pyramid/Split-*/r05/.data-*", "pyramid/pyramid.json"),
    ],
)
def test_a_killed_worker(reference, options, tmp_path, component, half_written, complete):
    source, expected = reference
    shutil.copytree(source / "images", tmp_path / "images")
    if component == "pyramid":
        shutil.copytree(source / "examples", tmp_path / "examples")
    process = _start(component, tmp_path, options)
    try:
        # While a file is being written, its worker is stopped, so that it is surely in the middle.
        while not list(tmp_path.glob(half_written)):
            assert process.poll() is None, (tmp_path / f"{component}.log").read_text()[-3000:]
            time.sleep(0.001)
        for pid in tmp_path.glob("*.pid"):
            try:
                os.kill(int(pid.stem), signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert not list(tmp_path.glob(complete))
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            code = None
    finally:
        process.kill()
        process.wait()
    print(f"{component}: the engine ended with {code}; None is that it was still waiting after a minute")
    if code != 0:
        assert not list(tmp_path.glob(complete))
        _run(component, tmp_path, options)
    if component == "ingest":
        expected = {name: lines for name, lines in expected.items() if name.startswith("examples/")}
    assert data_path.outputs(tmp_path) == expected
