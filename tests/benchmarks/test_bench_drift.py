"""The benchmark runs in a process of its own; how often drift is found is tested beside the detector."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_a_run_of_one_draw_prints_a_row_for_each_size():
    command = [sys.executable, "benchmarks/bench_drift.py", "--draws", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [line.replace("│", " ").split() for line in printed.splitlines() if line.startswith("│")]
    # A lamp 20 % brighter or darker never escapes, not even among 20 images.
    assert [(row[0], row[2], row[5]) for row in rows] == [
        ("20", "1", "1"),
        ("60", "1", "1"),
        ("300", "1", "1"),
    ]
