"""Checkpoints: what is kept, what is seen of damage, and what is never lost."""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import to_json
from proganomaly.components.trainer import stored_weights
from proganomaly.components.trainer.checkpoint import RunCheckpoint, checkpoints_in
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.step import create_state

SPEC = ImageSpec(8, 1)

# A process that may write no file of more than a few kilobytes, as on a full disk.
FULL_DISK = """
import resource, sys
from proganomaly.components.errors import UserError
from proganomaly.components.images.spec import ImageSpec
from proganomaly.components.settings import from_json
from proganomaly.components.trainer.checkpoint import RunCheckpoint
from proganomaly.components.trainer.report import Reporter
from proganomaly.components.trainer.settings import TrainerSettings
from proganomaly.components.trainer.step import create_state

settings = from_json(TrainerSettings, sys.argv[2])
state = create_state(settings, ImageSpec(8, 1))
checkpoint = RunCheckpoint(state, sys.argv[1], settings, ImageSpec(8, 1), Reporter(print, "INFO"))
checkpoint.save(8, 4)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    checkpoint.save(16, 4)
except UserError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def settings(tiny):
    return tiny.settings(checkpoints={"seconds": 1e6})


@pytest.fixture(scope="module")
def state(settings):
    return create_state(settings, SPEC)


@pytest.fixture
def begin(settings, state):
    """Returns (checkpoint, reported lines) of the one state, for a folder and changed checkpoint settings."""

    def begin_in(folder, **changes):
        lines: list[str] = []
        changed = dataclasses.replace(
            settings, checkpoints=dataclasses.replace(settings.checkpoints, **changes)
        )
        return RunCheckpoint(state, str(folder), changed, SPEC, Reporter(lines.append, "INFO")), lines

    return begin_in


def _mark(state, value: float) -> None:
    """Gives a weight, an average and a moment a value to be recognised by."""
    for variable in _marked(state):
        variable.assign(np.full(variable.shape, value))


def _marked(state):
    return (
        state.networks.generator.variables[0],
        state.averages.encoder.variables[-1],
        state.optimizers["discriminator"].variables[-1],
    )


@pytest.fixture(scope="module")
def saved(settings, state, tmp_path_factory):
    """A folder of two checkpoints, at 32 and at 64 images, whose values are 32 and 64."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoint = RunCheckpoint(state, str(folder), settings, SPEC, Reporter(print, "INFO"))
    for images_seen in (32, 64):
        _mark(state, images_seen)
        checkpoint.save(images_seen, 4)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_what_was_saved_comes_back(state, begin, saved):
    _mark(state, 0)
    assert begin(saved)[0].restore() == 64
    for variable in _marked(state):
        assert (np.array(variable) == 64).all()


def test_the_loss_scale_of_float16_comes_back(tiny, tmp_path):
    settings = tiny.settings(execution={"precision": "float16"})
    state = create_state(settings, SPEC)
    checkpoint = RunCheckpoint(state, str(tmp_path), settings, SPEC, Reporter(print, "INFO"))
    optimizer = state.optimizers["generator"]
    variables = (optimizer.dynamic_scale, optimizer.step_counter, optimizer.inner_optimizer.iterations)
    for variable in variables:
        variable.assign(12)
    checkpoint.save(8, 4)
    for variable in variables:
        variable.assign(0)
    assert checkpoint.restore() == 8
    assert [int(variable) for variable in variables] == [12, 12, 12]


def test_nothing_saved_is_nothing_seen(begin, tmp_path):
    assert begin(tmp_path / "none")[0].restore() == 0


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "missing"])
@pytest.mark.parametrize("kind", ["data-00000-of-00001", "index", "json"])
def test_a_damaged_newest_one_falls_back_with_a_warning(state, begin, copy, kind, damage):
    path, content = copy / f"ckpt-64.{kind}", (copy / f"ckpt-64.{kind}").read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": content[:middle], "flipped": flipped, "emptied": b""}[damage])
    checkpoint, lines = begin(copy)
    _mark(state, 0)
    assert checkpoint.restore() == 32
    assert all((np.array(variable) == 32).all() for variable in _marked(state))
    assert len(lines) == 1 and lines[0].startswith(f"warning: {'the checkpoint ' * (kind == damage)}")
    assert "ckpt-64" in lines[0] and "\n" not in lines[0]
    # The run comes by the same number again.
    checkpoint.save(64, 4)
    assert begin(copy)[0].restore() == 64


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_seen(saved, tmp_path_factory, position, bit):
    folder = tmp_path_factory.mktemp("flipped")
    files = [shutil.copy(path, folder) for path in sorted(saved.glob("ckpt-64.*"))]
    place = int(position * sum(os.path.getsize(file) for file in files))
    for file in files:
        if place < os.path.getsize(file):
            break
        place -= os.path.getsize(file)
    with open(file, "r+b") as opened:
        opened.seek(place)
        (byte,) = opened.read(1)
        opened.seek(place)
        opened.write(bytes([byte ^ 1 << bit]))
    with pytest.raises(stored_weights.DamagedError):
        stored_weights.verify(str(folder / "ckpt-64"))


def test_when_none_is_whole_the_run_does_not_begin_anew(begin, copy):
    for path in copy.glob("ckpt-*.index"):
        path.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^no checkpoint in .*copy is whole \(.*ckpt-64\.index differs .*\);"
    ):
        begin(copy)[0].restore()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"fmap_max": 4}, "its fmap_max is 8; this run's is 4"),
        ({"leaky_slope": 0.1}, "its leaky_slope is 0.2"),
    ],
)
def test_a_checkpoint_of_other_networks_is_named(tiny, copy, changes, difference):
    settings = tiny.settings(networks=changes)
    other = create_state(settings, SPEC)
    checkpoint = RunCheckpoint(other, str(copy), settings, SPEC, Reporter(print, "INFO"))
    with pytest.raises(UserError, match=rf"copy/ckpt-64 is of other networks: {difference}"):
        checkpoint.restore()


@pytest.mark.option("checkpoints.keep")
def test_the_newest_are_kept_and_the_last_one_of_each_resolution(begin, tmp_path):
    checkpoint, _ = begin(tmp_path, keep=2, prefix="run-a")
    for images_seen, resolution in ((8, 4), (16, 4), (24, 8), (32, 8), (40, 16), (48, 16), (56, 16)):
        checkpoint.save(images_seen, resolution)
    assert list(checkpoints_in(str(tmp_path))) == [56, 48, 32, 16]
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {
        f"run-a-{images_seen}" for images_seen in (16, 32, 48, 56)
    }


@pytest.mark.option("checkpoints.prefix")
def test_a_changed_prefix_does_not_begin_the_run_anew(begin, copy):
    checkpoint, _ = begin(copy, prefix="other", keep=1)
    assert checkpoint.restore() == 64
    checkpoint.save(72, 4)
    assert {path.name.partition(".")[0] for path in copy.iterdir()} == {"other-72"}


def test_what_was_never_finished_is_told_and_removed(begin, copy):
    for name in ("ckpt-72.data-00000-of-00001", "ckpt-72.index", ".ckpt-72.json.0af", "ckpt-80.index"):
        (copy / name).write_bytes(b"half")
    (copy / "ckpt-88_temp").mkdir()
    (copy / "notes-1.txt").write_text("mine")
    checkpoint, lines = begin(copy)
    assert checkpoint.restore() == 64
    assert [line.split()[3].rpartition("/")[2] for line in lines] == ["ckpt-72", "ckpt-80", "ckpt-88"]
    assert {path.name.partition(".")[0] for path in copy.iterdir()} == {"ckpt-32", "ckpt-64", "notes-1"}


@pytest.mark.option("checkpoints.save")
@pytest.mark.parametrize("writes", [{"save": False}, {}])
def test_without_saving_nothing_is_written(settings, state, begin, copy, writes):
    """By the settings, or as a worker that is not the chief; what is there is read all the same."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    if writes:
        checkpoint, _ = begin(copy, **writes)
    else:
        checkpoint = RunCheckpoint(state, str(copy), settings, SPEC, Reporter(print, "INFO"), writes=False)
    assert checkpoint.restore() == 64
    checkpoint.save(72, 4)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


@pytest.mark.option("checkpoints.seconds", "checkpoints.images")
def test_due_by_the_clock_or_by_images(begin, copy):
    assert begin(copy, seconds=0)[0].is_due(8)
    assert not begin(copy)[0].is_due(8)
    checkpoint, _ = begin(copy, images=24)
    assert [checkpoint.is_due(images_seen) for images_seen in (8, 16, 24, 32)] == [False, False, True, True]
    checkpoint.save(32, 4)
    assert [checkpoint.is_due(images_seen) for images_seen in (40, 48)] == [False, True]


def test_a_folder_that_cannot_be_written_to_is_named(begin, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"^the checkpoint .*file/deep/ckpt-8 cannot be written to: .+intact$"
    ):
        begin(tmp_path / "file" / "deep")[0].save(8, 4)


def test_on_a_full_disk_the_last_checkpoint_is_intact(begin, settings, tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "full"), to_json(settings)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"the checkpoint {tmp_path}/full/ckpt-16 cannot be written to: ")
    assert line.endswith("File too large; the checkpoints before it are intact")
    assert {path.name.partition(".")[0] for path in (tmp_path / "full").iterdir()} == {"ckpt-8"}
    assert begin(tmp_path / "full")[0].restore() == 8
