"""The newest folders of a pattern."""

import datetime

import pytest

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.spans import Span, resolve_window


def _folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "0.png").touch()


def resolve_span(pattern):
    """Returns root and number of the newest span alone."""
    (span,) = resolve_window(pattern, 1)
    return span.root, span.number


def test_without_placeholders_nothing_is_looked_up():
    assert resolve_span("some/where/") == ("some/where", 0)


def test_numbers_are_compared_as_numbers(tmp_path):
    _folders(tmp_path, "span-2", "span-10", "span-9", "span-x", "my-span-99", "span-11-old")
    (tmp_path / "span-12").write_text("a file is no span")
    assert resolve_span(f"{tmp_path}/span-{{SPAN}}") == (f"{tmp_path}/span-10", 10)


def test_dates_in_one_name(tmp_path):
    _folders(tmp_path, "2023-12-31", "2024-01-15", "2024-02-30", "24-1-2")
    days = (datetime.date(2024, 1, 15) - datetime.date(1970, 1, 1)).days
    assert resolve_span(f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}/") == (f"{tmp_path}/2024-01-15", days)


def test_dates_over_several_names_and_names_below(tmp_path):
    _folders(tmp_path, "2024/03/01/img", "2024/03/02/other", "2023/11/05/img")
    path, _ = resolve_span(f"{tmp_path}/{{YYYY}}/{{MM}}/{{DD}}/img")
    assert path == f"{tmp_path}/2024/03/01/img"


def test_signs_of_globs_and_regular_expressions_are_names(tmp_path):
    _folders(tmp_path, "a[1]*.b/span-3")
    assert resolve_span(f"{tmp_path}/a[1]*.b/span-{{SPAN}}")[1] == 3


def test_relative_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _folders(tmp_path, "span-1", "data/7")
    assert resolve_span("span-{SPAN}") == ("span-1", 1)
    assert resolve_span("data/{SPAN}") == ("data/7", 7)


@pytest.mark.parametrize(
    "pattern",
    ["a/{SPAN}/{SPAN}", "a/{SPAN}-{YYYY}-{MM}-{DD}", "a/{YYYY}-{MM}", "a/{VERSION}", "a/{}", "{span}"],
)
def test_impossible_patterns(pattern):
    with pytest.raises(UserError, match=r"an image folder may hold \{SPAN\} once, or"):
        resolve_span(pattern)


@pytest.mark.parametrize("pattern", ["span-{SPAN}", "nowhere/{SPAN}", "{YYYY}-{MM}-{DD}"])
def test_no_folder_matches(tmp_path, pattern):
    _folders(tmp_path, "span-", "2024-13-01")
    with pytest.raises(UserError) as caught:
        resolve_span(f"{tmp_path}/{pattern}")
    assert str(caught.value) == f"no folder matches {tmp_path}/{pattern}"


def test_window_takes_the_newest_spans_in_order_and_names_them_below_the_fixed_part(tmp_path):
    _folders(tmp_path, "a/span-2/img", "a/span-10/img", "a/span-9/img")
    window = resolve_window(f"{tmp_path}/a/span-{{SPAN}}/img", 2)
    assert window == (
        Span(9, f"{tmp_path}/a/span-9/img", "span-9/img"),
        Span(10, f"{tmp_path}/a/span-10/img", "span-10/img"),
    )
    assert window[1].path_of("x/1.png") == "span-10/img/x/1.png"
    assert len(resolve_window(f"{tmp_path}/a/span-{{SPAN}}/img", 99)) == 3


def test_without_placeholders_paths_stay_as_they_are(tmp_path):
    (span,) = resolve_window(str(tmp_path), 7)
    assert span == Span(0, str(tmp_path))
    assert span.path_of("0.png") == "0.png"


def test_spans_without_files_do_not_count(tmp_path):
    _folders(tmp_path, "1", "2")
    (tmp_path / "3/train/good").mkdir(parents=True)
    assert [span.number for span in resolve_window(f"{tmp_path}/{{SPAN}}", 2)] == [1, 2]
    for number in (1, 2):
        (tmp_path / f"{number}/0.png").unlink()
    with pytest.raises(UserError, match=r"the 3 folders that match .*SPAN.* hold no files"):
        resolve_window(f"{tmp_path}/{{SPAN}}", 2)


def test_a_readme_is_no_span_and_a_strange_name_is_one(tmp_path):
    _folders(tmp_path, "1")
    for number in (2, 3):
        (tmp_path / str(number)).mkdir()
    (tmp_path / "2/README.md").touch()
    open(f"{tmp_path}/3/".encode() + b"\xff.png", "wb").close()
    open(f"{tmp_path}/".encode() + b"\xff", "wb").close()
    assert [span.number for span in resolve_window(f"{tmp_path}/{{SPAN}}", 9)] == [1, 3]
