"""Sends damaged images through ingestion and through the decoder of the served model.

Each file has to become a record or a rejection of one line. A crash, another exception, more than 5 s, more
memory than an image of the size allowed needs, or a served model that sees other pixels than ingestion is a
failure: the file is kept in the folder of `--found`, and the run goes on. File number i of a seed is the same
in every run.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback

import numpy as np
from image_seeds import image_seeds, mend_png
from mutate import mutate

OUTCOMES = ("", "ingested", "format", "header", "decode", "FAILED", "CRASHED", "HUNG")
FAILURES = OUTCOMES[5:]
_MAX_PIXELS = 200_000
_SECONDS_TO_START = 300.0
# An image of _MAX_PIXELS takes a few megabytes.
_MEGABYTES_PER_FILE = 128
_BYTES_OF_ADDRESSES = 8 * 2**30


def damaged_image(seed: int, index: int, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Returns the name of the image that file `index` was, and the file."""
    rng = random.Random(f"{seed} {index}")
    names = list(seeds)
    name = names[index % len(names)]
    content = mutate(seeds[name], rng, seeds[rng.choice(names)])
    return name, mend_png(content) if name.startswith("png") and rng.random() < 0.7 else content


def main() -> None:
    """Runs the children, starts them anew after a crash or a hang, and prints what became of the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, default=5.0, help="what takes longer has failed")
    parser.add_argument("--minutes", type=float, default=120.0, help="the run ends after these")
    parser.add_argument("--found", type=pathlib.Path, help="folder for files that failed")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--codes", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.found = options.found or pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    options.found.mkdir(parents=True, exist_ok=True)
    if options.child:
        _run_files(options, *options.child)
        return
    codes = _run_children(options)
    seeds = image_seeds()
    table = collections.defaultdict(collections.Counter)
    for index in range(options.count):
        table[list(seeds)[index % len(seeds)].split("-")[0]][OUTCOMES[codes[index]]] += 1
    failed = [index for index in range(options.count) if OUTCOMES[codes[index]] in FAILURES]
    for index in failed:
        (options.found / f"{options.seed}-{index}").write_bytes(damaged_image(options.seed, index, seeds)[1])
    missing = int((codes[: options.count] == 0).sum())
    print(json.dumps({name: dict(counts) for name, counts in table.items()}, indent=1))
    print(f"{options.count - missing} of {options.count} files, {len(failed)} failures {failed[:20]}")
    if failed:
        print(f"the files are in {options.found}")
    sys.exit(bool(failed or missing))


def _run_children(options: argparse.Namespace) -> np.ndarray:
    """Returns the outcome of every file, an index into OUTCOMES, uint8 [count]."""
    path = options.found / "codes"
    # Behind the outcomes, each child tells that it has imported its libraries and begins.
    codes = np.memmap(path, np.uint8, "w+", shape=(options.count + options.jobs,))
    end = time.monotonic() + 60 * options.minutes
    children = {job: _Child(options, path, job, job) for job in range(options.jobs)}
    while children and time.monotonic() < end:
        time.sleep(0.1)
        for job, child in list(children.items()):
            # The first file without an outcome is the one in work.
            mine = codes[job : options.count : options.jobs]
            done = int(np.argmin(mine > 0)) if (mine == 0).any() else len(mine)
            status = child.process.poll()
            has_begun = bool(codes[options.count + job])
            allowed = options.seconds if has_begun else _SECONDS_TO_START
            hung = status is None and child.seconds_at(done, has_begun) > allowed
            if status is None and not hung:
                continue
            child.stop()
            if done == len(mine):
                del children[job]
                continue
            print(
                f"file {job + done * options.jobs}: {'hung' if hung else f'ended with {status}'}", flush=True
            )
            mine[done] = OUTCOMES.index("HUNG" if hung else "CRASHED")
            codes[options.count + job] = 0
            children[job] = _Child(options, path, job, job + (done + 1) * options.jobs)
    for child in children.values():
        child.stop()
    path.unlink()
    return codes


class _Child:
    def __init__(self, options: argparse.Namespace, codes: pathlib.Path, job: int, start: int):
        command = [sys.executable, __file__, "--child", str(start), str(options.jobs), f"--codes={codes}"]
        shared = [f"--{name}={getattr(options, name)}" for name in ("count", "seed", "found")]
        # What libraries print of broken files is of no use, but the last words before a crash are.
        with open(options.found / f"errors-{job}", "w") as errors:
            self.process = subprocess.Popen([*command, *shared], stderr=errors)
        self._place = (-1, False)
        self._since = time.monotonic()

    def seconds_at(self, done: int, has_begun: bool) -> float:
        """Returns for how long the child has been where it is."""
        if (done, has_begun) != self._place:
            self._place, self._since = (done, has_begun), time.monotonic()
        return time.monotonic() - self._since

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def _run_files(options: argparse.Namespace, start: int, step: int) -> None:
    """Runs every `step`-th file, and writes down the outcome of each."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from decode_target import run_file

    codes = np.memmap(options.codes, np.uint8, "r+", shape=(options.count + step,))
    seeds = image_seeds()
    for name, content in seeds.items():
        outcome = run_file(content, _MAX_PIXELS)
        if outcome != "ingested":
            raise RuntimeError(f"the undamaged {name} is not ingested but {outcome}")
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES_OF_ADDRESSES,) * 2)
    peak = _peak_megabytes()
    codes[options.count + start % step] = 1
    for index in range(start, options.count, step):
        _, content = damaged_image(options.seed, index, seeds)
        try:
            outcome = run_file(content, _MAX_PIXELS)
        except BaseException:
            print(f"file {index}:", traceback.format_exc(), flush=True)
            outcome = "FAILED"
        grown = _peak_megabytes() - peak
        peak += grown
        if grown > _MEGABYTES_PER_FILE:
            print(f"file {index}: {grown:.0f} megabytes", flush=True)
            outcome = "FAILED"
        codes[index] = OUTCOMES.index(outcome)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
