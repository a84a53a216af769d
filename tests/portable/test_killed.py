"""A process killed in the middle leaves nothing that a rerun takes for whole; files follow the data."""

import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from proganomaly.components.image_example_gen import inspected
from proganomaly.components.pyramid import shards

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import data_path  # noqa: E402

IMAGES = 40
# The function whose tenth call ends the process without a word, as the kernel does when memory is short.
_KILLER = """
import importlib, itertools, os, signal, sys
sys.path.insert(0, {here!r})
import data_path
module = importlib.import_module({module!r})
owner = getattr(module, {owner!r}) if {owner!r} else module
calls, real = itertools.count(1), getattr(owner, {name!r})
def killing(*args):
    if next(calls) == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
setattr(owner, {name!r}, killing)
data_path.{component}({folder!r}, [])
"""
KILLED = {
    "ingest": ("proganomaly.components.image_example_gen.inspected", "_ShardWriter", "write"),
    "pyramid": ("proganomaly.components.pyramid.level_writer", "", "encode_planes"),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder of images, one of them broken, and what an undisturbed run makes of it, in small files."""
    folder = tmp_path_factory.mktemp("whole")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(IMAGES):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"images/{number}.png")
    (folder / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.MonkeyPatch.context() as patch:
        # An image is a little more than 3 KiB as a PNG, and an eighth of a shard is said to be one.
        patch.setattr(inspected, "_SHARD_BYTES", 10 * 2**10)
        patch.setattr(shards, "_image_bytes", lambda spec: 2**20 / 8)
        data_path.ingest(str(folder), [])
        data_path.pyramid(str(folder), [])
    return folder, data_path.outputs(folder)


@pytest.fixture(scope="module")
def killed(reference, tmp_path_factory):
    """Folders in which each component was killed in the middle."""
    folders, processes = {}, []
    for component, (module, owner, name) in KILLED.items():
        folders[component] = folder = tmp_path_factory.mktemp(component)
        for part in ("images",) if component == "ingest" else ("images", "examples"):
            shutil.copytree(reference[0] / part, folder / part)
        code = _KILLER.format(
            here=str(HERE), module=module, owner=owner, name=name, component=component, folder=str(folder)
        )
        processes.append(subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL))
    assert [process.wait(120) for process in processes] == [-signal.SIGKILL] * len(processes)
    return folders


@pytest.mark.parametrize(
    "component, half_written, whole",
    [
        ("ingest", "store/*/.images-*", ["store/*/images-*", "store/*/inspected.json", "examples/Split-*/*"]),
        ("pyramid", "pyramid/Split-*/*/.data-*", ["pyramid/Split-*/*/data-*", "pyramid/pyramid.json"]),
    ],
)
def test_a_rerun_writes_what_an_undisturbed_run_does(reference, killed, component, half_written, whole):
    folder = killed[component]
    assert list(folder.glob(half_written))
    assert [found for pattern in whole for found in folder.glob(pattern)] == []
    getattr(data_path, component)(str(folder), [])
    assert not list(folder.glob(half_written))
    part = "examples/" if component == "ingest" else "pyramid/"
    rerun, expected = (
        {name: records for name, records in found.items() if name.startswith(part)}
        for found in (data_path.outputs(folder), reference[1])
    )
    assert sum(expected[f"{part}Split-train" + ("/r05" if component == "pyramid" else "")].values()) > 20
    assert rerun == expected


def test_files_are_as_many_as_the_data_asks_for(reference):
    folder, expected = reference
    assert len(list(folder.glob("examples/Split-train/data-*"))) >= 5
    train = sum(expected["examples/Split-train"].values())
    for level in ("r02", "r05"):
        assert len(list(folder.glob(f"pyramid/Split-train/{level}/data-*"))) == -(-train // 8)
