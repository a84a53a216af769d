"""A run that is killed or interrupted in the middle of training goes on from its last checkpoint."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]


def ticks_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from (line for line in process.stdout if "images/s" in line)


def test_killed_and_interrupted_training_goes_on(
    proganomaly: Command, start: Callable[..., subprocess.Popen[str]], tiny: list[str], folder: Path
) -> None:
    command = ["run", "--data=brick", "--output=killed", *tiny, "--trainer.schedule.final_images=320"]
    command += ["--trainer.checkpoints.seconds=0"]
    seen = 0
    for blow, exit_code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = start(*command, cwd=folder)
        for line in ticks_of(process):
            reached = int(re.findall(r"([\d,]+) / ", line)[0].replace(",", ""))
            assert reached > seen
            if reached >= seen + 64:
                break
        process.send_signal(signal.SIGSTOP)
        second = proganomaly(*command, cwd=folder)
        assert second.returncode == 2
        assert "another run is at work in killed" in second.stderr
        process.send_signal(blow)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == exit_code
        assert "Traceback" not in errors
        seen = reached - 16
    ended = proganomaly(*command, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    resumed = int(re.findall(r"going on from the checkpoint at ([\d,]+) images", ended.stdout)[0])
    assert resumed >= seen
    assert "400 / 400 images" in ended.stdout
    assert json.loads((folder / "killed/summary.json").read_text())["blessed"] is True
