"""The benchmark runs in a process of its own, as its user runs it; how fast is not tested."""

import csv
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def test_a_quick_run_prints_its_table_and_appends_rows(tmp_path):
    results = tmp_path / "made" / "train.csv"
    command = [sys.executable, "benchmarks/bench_train.py", "--quick", "--results", str(results)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(results.open()))
    assert [row["settings"] for row in rows] == ["faithful", "fast + encoder"]
    for row in rows:
        assert row["settings"] in printed and row["resolution"] == "8" and row["date"] and row["commit"]
        speed, work = float(row["images_per_cpu_s"]), float(row["gflop_per_image"])
        assert float(row["gflop_s"]) == pytest.approx(speed * work, rel=0.01)
        assert float(row["share_of_gemm"]) > 0 and 0 < float(row["input_share"]) < 1
    assert [row["memory_growth_mb"] != "" for row in rows] == [False, True]
