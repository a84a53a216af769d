"""The benchmark runs in a process of its own, as its user runs it; how fast is not tested."""

import csv
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def _run(tmp_path, *options):
    results = tmp_path / "made" / "data.csv"
    command = [sys.executable, "benchmarks/bench_data.py", "--quick", *options, "--results", str(results)]
    command += ["--cache", str(tmp_path)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return list(csv.DictReader(results.open())), printed


def test_a_quick_run_compares_bits_prints_its_table_and_appends_rows(tmp_path):
    rows, printed = _run(tmp_path)
    assert [row["part"] for row in rows] == [
        "decode",
        "pyramid",
        "serialise + write",
        "pyramid + serialise + write",
        "decode + pyramid + serialise + write",
        "ingest",
        "pyramid component",
    ]
    for row in rows:
        assert row["part"] in printed and row["resolution"] == "16" and row["date"] and row["commit"]
        assert float(row["cpu_ms"]) > 0 and float(row["compared_cpu_ms"]) > 0


def test_a_quick_run_of_memory_measures_both_components(tmp_path):
    rows, printed = _run(tmp_path, "--memory")
    assert [row["part"] for row in rows] == ["ingest", "pyramid component"]
    assert all(0.1 < float(row["peak_gib"]) < 3 for row in rows)
    assert "ingest: 30 images of 16 x 16 x 3: peak" in printed
