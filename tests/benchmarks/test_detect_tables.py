"""Tables of known results, and the file that they come from."""

import dataclasses
import importlib
import pathlib
import statistics

import pytest

from proganomaly.components.errors import UserError

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@dataclasses.dataclass
class Place:
    """What of a task its rows are named by."""

    dataset: str
    normal_class: str
    seed: int
    contamination: float = 0.0


def row(method, value, settings="fashion-00000000", commit="abc1234"):
    return {
        **{"method": method, "role": "ours", "metric": "image_auroc", "value": value, "settings": settings},
        **{"train_cpu_s": 100.0, "score_ms": None, "commit": commit},
    }


@pytest.fixture
def results(module, tmp_path):
    """Ten classes, three seeds: .9 and .002 more with each seed, .05 less in class 3."""
    path = tmp_path / "detection.csv"
    append = module("detect_results").append
    for number in range(10):
        for seed in (1, 2, 3):
            value = 0.9 + 0.002 * seed - 0.05 * (number == 3)
            rows = [row("fused", value), row("kNN-5", 0.875, "32px"), row("random weights", 0.91)]
            append(path, Place("fashion-mnist", str(number), seed), rows)
    return path


def line(text, beginning):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def filled(module, results, tmp_path, name):
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- table: {name} -->\nold\n<!-- end -->\nbehind\n")
    module("detect_tables").write_tables(module("detect_results").Results(results), page)
    return page.read_text()


def test_fashion_means_spreads_and_gains(module, results, tmp_path):
    text = filled(module, results, tmp_path, "fashion")
    assert line(text, "normal class")[1:3] == ["**ours**", "kNN-5"]
    assert line(text, "0 T-shirt") == [
        *("0 T-shirt", ".904 ± .002", ".875 ± .000", "–", "–", ".910 ± .000"),
        *("+.029", "-.006", "100 ± 0", "–"),
    ]
    assert line(text, "3 dress")[1] == ".854 ± .002"
    assert line(text, "**mean of ten**")[1] == f"{0.904 - 0.005:.3f}"[1:] + " ± .002"
    assert line(text, "**mean of the seven**")[1] == f"{0.904 - 0.05 / 7:.3f}"[1:] + " ± .002"
    assert "`fashion-00000000`; measured at abc1234" in text
    assert text.startswith("before\n") and text.endswith("\nbehind\n") and "old" not in text


def test_a_page_is_the_same_when_written_twice(module, results, tmp_path):
    once = filled(module, results, tmp_path, "fashion")
    page = tmp_path / "page.md"
    module("detect_tables").write_tables(module("detect_results").Results(results), page)
    assert page.read_text() == once


def test_the_last_of_equal_rows_and_of_equal_names_counts(module, results, tmp_path):
    append = module("detect_results").append
    append(results, Place("fashion-mnist", "0", 1), [row("fused", 0.5, "fashion-11111111", "def5678")])
    append(results, Place("fashion-mnist", "0", 1), [row("fused", 0.6, "fashion-11111111", "def5678")])
    text = filled(module, results, tmp_path, "fashion")
    assert line(text, "0 T-shirt")[1] == ".600" and line(text, "1 trouser")[1] == "–"
    assert line(text, "**mean of ten**")[1] == "–", "a mean of ten needs ten"
    assert "measured at def5678" in text


def test_means_are_over_seeds_that_all_classes_have(module):
    found, mean_over = module("detect_results").Found, module("detect_results").mean_over
    both = mean_over([found({"1": 0.2, "2": 0.4}), found({"1": 0.4})])
    assert both.values == {"1": pytest.approx(0.3)} and both.spread is None
    spread = found({"1": 0.2, "2": 0.4, "3": 0.9}).spread
    assert spread == pytest.approx(statistics.stdev([0.2, 0.4, 0.9]))
    assert not mean_over([found({}), found({"1": 0.4})])


def test_contamination_is_told_apart(module, results, tmp_path):
    append = module("detect_results").append
    append(results, Place("fashion-mnist", "5", 1), [row("fused", 0.8, "fashion-trimmed-00000000")])
    append(results, Place("fashion-mnist", "5", 1, 0.1), [row("fused", 0.7, "fashion-trimmed-00000000")])
    cells = line(filled(module, results, tmp_path, "contamination"), "5 sandal")
    assert cells[1:5] == [".800", "–", "–", ".700"]


@pytest.mark.parametrize("name", ["longer", "texture", "growing", "scores", "training"])
def test_every_table_can_be_written_while_results_are_missing(module, results, tmp_path, name):
    assert "| --- |" in filled(module, results, tmp_path, name)


def test_larger_numbers_keep_their_digits(module):
    text = module("detect_tables")._text
    assert text(module("detect_results").Found({"1": 10.5}), ".1f") == "10.5"


def test_the_page_of_the_repository_has_places_for_all_tables(module, results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text((BENCHMARKS.parent / "docs" / "detection-benchmarks.md").read_text())
    module("detect_tables").write_tables(module("detect_results").Results(results), page)
    names = ("fashion", "longer", "contamination", "texture", "growing", "scores", "training")
    assert all(f"<!-- table: {name} -->" in page.read_text() for name in names)


def test_unknown_tables_pages_without_any_and_other_files_are_refused(module, results, tmp_path):
    with pytest.raises(UserError, match="received table 'fashoin'"):
        filled(module, results, tmp_path, "fashoin")
    page = tmp_path / "page.md"
    page.write_text("nothing")
    read = module("detect_results").Results
    with pytest.raises(UserError, match="has no place for a table"):
        module("detect_tables").write_tables(read(results), page)
    results.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="must have the columns dataset,"):
        read(results)
