"""How well anomalies are detected: trains, scores, and appends what results/detection.csv lacks.

Run it from the repository's root: `python benchmarks/bench_detect.py`; see benchmarks/README.md.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from detect_results import Results, append, place_of
from detect_run import METHOD_OF, MODEL_PART, Request, settings_of
from detect_settings import FASHION, FUSED, SETTINGS_FILE, Task, read_tasks
from detect_tables import write_tables

from proganomaly.components.errors import UserError
from proganomaly.components.settings import to_json

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent
RESULTS = FOLDER / "results" / "detection.csv"
CACHE = ROOT / "data" / "bench-detect"
PAGE = ROOT / "docs" / "detection-benchmarks.md"
FASHION_FOLDER = "/usr/share/datasets/fashion-mnist"
# What libraries take for the number of threads that they may use.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)

Work = tuple[Task, tuple[str, ...]]


def main() -> int:
    """Measures what is missing, prints a line for each task, and appends to the results."""
    options = _parser().parse_args()
    try:
        if options.tables:
            write_tables(Results(options.results or RESULTS), options.page)
            return 0
        return _measure(options)
    except UserError as error:
        print(f"bench-detect: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--suite", nargs="+", default=(), help="names in detection_settings.yaml")
    parser.add_argument("--classes", nargs="+", default=(), help="these alone, such as 0 5 8 brick")
    parser.add_argument("--seeds", nargs="+", type=int, default=(), help="these alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, of one thread each (2)")
    parser.add_argument("--again", action="store_true", help="score anew, with the networks that are there")
    parser.add_argument("--quick", action="store_true", help="tiny networks at 8 px: does it run?")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be measured")
    parser.add_argument("--tables", action="store_true", help="only write the tables into the page")
    parser.add_argument(
        "--settings", type=pathlib.Path, default=SETTINGS_FILE, help="another file of settings"
    )
    parser.add_argument("--fashion-mnist", default=FASHION_FOLDER, help=f"its folder ({FASHION_FOLDER})")
    parser.add_argument("--results", type=pathlib.Path, help=f"CSV to append to ({RESULTS.name})")
    parser.add_argument("--cache", type=pathlib.Path, default=CACHE, help="folder of trained networks")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, help=f"the page ({PAGE.name})")
    return parser


def _measure(options: argparse.Namespace) -> int:
    """Does what the options ask for; returns the exit code."""
    results = options.results or (options.cache / "quick.csv" if options.quick else RESULTS)
    tasks = read_tasks(options.suite, options.classes, options.seeds, options.quick, options.settings)
    work = list(_missing(tasks, Results(results), options.again))
    if any(task.dataset == FASHION for task, _ in work):
        _check_fashion(options.fashion_mnist)
    print(f"{len(work)} of {len(tasks)} tasks to do", flush=True)
    if options.dry_run:
        for task, parts in work:
            print(f"{_name(task)}: {', '.join(parts)}")
        return 0
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(_run, task, parts, options): task for task, parts in work}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                task, (rows, complaint) = futures[future], future.result()
                if complaint:
                    failed += 1
                else:
                    append(results, task, rows)
                print(f"[{number}/{len(work)}] {_name(task)}: {complaint or _summary(rows)}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return 1 if failed else 0


def _missing(tasks: Collection[Task], results: Results, again: bool) -> Iterator[Work]:
    """Yields what is still to be measured of each task, nothing twice."""
    planned = set()
    for task in tasks:
        parts = []
        for part, method in METHOD_OF.items():
            place = (*place_of(task), settings_of(task, part), method)
            metric = "swd" if part == MODEL_PART and task.quality else "image_auroc"
            is_there = not again and results.has(task, settings_of(task, part), method, metric)
            wanted = part == MODEL_PART or task.compare
            if wanted and not is_there and place not in planned:
                planned.add(place)
                parts.append(part)
        if parts:
            yield task, tuple(parts)


def _run(task: Task, parts: tuple[str, ...], options: argparse.Namespace) -> tuple[list[dict], str]:
    """Measures a task in a process of its own; returns its rows, or none and what went wrong."""
    folder, commit = options.cache / task.data_name, _commit()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{task.label}.log"
    with tempfile.TemporaryDirectory() as scratch:
        request, rows = pathlib.Path(scratch, "request.json"), pathlib.Path(scratch, "rows.json")
        asked = Request(task, parts, str(options.cache), options.fashion_mnist, str(rows))
        request.write_text(to_json(asked))
        with open(log, "a") as output:
            ended = subprocess.run(
                [sys.executable, str(FOLDER / "detect_run.py"), str(request)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD},
                check=False,
            )
        if ended.returncode:
            lines = log.read_text().split("\n")
            return [], f"failed: {next(filter(None, reversed(lines)), '')} (more in {log})"
        return [{**row, "commit": commit} for row in json.loads(rows.read_text())], ""


def _check_fashion(folder: str) -> None:
    """Raises UserError, naming the package, unless Fashion-MNIST is in `folder`."""
    if not pathlib.Path(folder, "train-images-idx3-ubyte.gz").exists():
        raise UserError(
            f"{folder} holds no Fashion-MNIST: `apt-get install dataset-fashion-mnist` (Debian, 31 MB), or "
            "name the folder of its four *-ubyte.gz with --fashion-mnist"
        )


def _name(task: Task) -> str:
    contaminated = f", {task.contamination:.0%} anomalies" if task.contamination else ""
    return f"{task.dataset} {task.normal_class}, seed {task.seed}{contaminated}, {task.label}"


def _summary(rows: list[dict]) -> str:
    aurocs = {row["method"]: row["value"] for row in rows if row["metric"] == "image_auroc"}
    shown = [f"{method} {aurocs[method]:.3f}" for method in METHOD_OF.values() if method in aurocs]
    seconds = [f"{row['train_cpu_s']:.0f} CPU s of training" for row in rows if row["method"] == FUSED][:1]
    return "; ".join(["image AUROC: " + ", ".join(shown), *seconds])


def _commit() -> str:
    """Returns the short hash of the commit, with a + where the code differs from it."""
    code = ["components", "pipeline", "benchmarks/*.py", "benchmarks/*.yaml"]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
