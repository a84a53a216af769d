"""Sends damaged files of records through every reader of ours.

Each file has to be read, or refused with an error of one line. A crash, another exception, more than 5 s, or
readers that contradict each other is a failure: the file is kept in the folder of `--found`, and the run goes
on. File number i of a seed is the same in every run.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import traceback

_SECONDS_PER_FILE, _SECONDS_TO_START = 5.0, 300.0
_BYTES_OF_ADDRESSES = 8 * 2**30


def main() -> None:
    """Runs a child over the files, starts it anew after a crash or a hang, and prints what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=pathlib.Path, help="folder for files that failed")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.found = options.found or pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    options.found.mkdir(parents=True, exist_ok=True)
    if options.child is not None:
        _run_files(options)
        return
    log = options.found / "outcomes.txt"
    log.write_text("")
    while (done := _lines(log)) < options.count:
        ended = _run_child(options, log, done)
        if (done := _lines(log)) < options.count:
            # The file after the last outcome is the one in work.
            print(f"file {done}: {ended}", flush=True)
            with log.open("a") as file:
                file.write(f"{ended} {ended}\n")
    outcomes = [line.split() for line in log.read_text().splitlines()]
    table = collections.Counter(" ".join(words) for words in outcomes)
    failed = [number for number, words in enumerate(outcomes) if words[1] not in ("read", "damaged")]
    print(json.dumps(table, indent=1, sort_keys=True))
    print(f"{len(outcomes)} files, {len(failed)} failures {failed[:20]}; kept in {options.found}")
    sys.exit(bool(failed))


def _lines(log: pathlib.Path) -> int:
    return log.read_bytes().count(b"\n")


def _run_child(options: argparse.Namespace, log: pathlib.Path, start: int) -> str:
    """Runs the files from `start` on; returns how the child ended."""
    command = [sys.executable, __file__, f"--child={start}"]
    shared = [f"--{name}={getattr(options, name)}" for name in ("count", "seed", "found")]
    # What libraries print of thousands of broken files is of no use, but the last words before a crash are.
    with (options.found / "errors").open("w") as errors:
        process = subprocess.Popen([*command, *shared], stderr=errors)
        seen, since = start, time.monotonic() + _SECONDS_TO_START
        while process.poll() is None:
            time.sleep(0.2)
            if (done := _lines(log)) != seen:
                seen, since = done, time.monotonic()
            if time.monotonic() - since > _SECONDS_PER_FILE:
                process.kill()
                process.wait()
                return "HUNG"
    return "CRASHED"


def _run_files(options: argparse.Namespace) -> None:
    """Runs the files from number `--child` on, and writes down a line for each."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from record_seeds import damaged_records, record_seeds, whole_file
    from record_target import run_records

    seeds = record_seeds()
    with (
        tempfile.TemporaryDirectory() as scratch,
        (options.found / "outcomes.txt").open("a", buffering=1) as log,
    ):
        folder = pathlib.Path(scratch) / "files"
        for kind, records in seeds.items():
            outcome = run_records(kind, whole_file(kind, records), folder)
            if outcome != "read":
                raise RuntimeError(f"the undamaged file {kind} is {outcome}")
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES_OF_ADDRESSES,) * 2)
        for number in range(options.child, options.count):
            kind, content = damaged_records(options.seed, number, seeds)
            try:
                outcome = run_records(kind, content, folder)
            except Exception:
                print(f"file {number} ({kind}):", traceback.format_exc(), flush=True)
                (options.found / f"{options.seed}-{number}").write_bytes(content)
                outcome = "FAILED"
            log.write(f"{kind} {outcome}\n")


if __name__ == "__main__":
    main()
