"""The tables of docs/detection-benchmarks.md, made from the results."""

import pathlib
import re
from collections.abc import Callable, Sequence

from detect_results import Found, Results, mean_over
from detect_settings import CHOSEN_ON, CONTROL, FASHION, FOREST, FUSED, KNN, PCA, TEXTURE, read_tasks

from proganomaly.components.errors import UserError

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
ALL = tuple(str(number) for number in range(len(CLASSES)))
OTHERS = tuple(name for name in ALL if name not in CHOSEN_ON)
MEASURES = {"image AUROC": "image_auroc", "pixel AUROC": "pixel_auroc", "AUPRO": "aupro"}
EMPTY = "–"

# Classes to what stands in a cell: the mean over them.
Cell = Callable[[Sequence[str]], str]


def write_tables(results: Results, page: pathlib.Path) -> None:
    """Replaces what stands between `<!-- table: NAME -->` and `<!-- end -->` in a page.

    Raises:
        UserError: the page is missing or has no place for a table, or one for a table that there is not.
    """
    tables = {
        "fashion": _fashion,
        "longer": _longer,
        "contamination": _contamination,
        "texture": _texture,
        "growing": _growing,
        "scores": _scores,
        "training": _training,
    }

    def filled(match: re.Match[str]) -> str:
        if match[1] not in tables:
            raise UserError(f"{page} must name one of {', '.join(tables)}; received table {match[1]!r}")
        return f"<!-- table: {match[1]} -->\n\n{tables[match[1]](results)}\n\n<!-- end -->"

    if not page.exists():
        raise UserError(f"{page} does not exist")
    pattern = r"<!-- table: (\S+) -->.*?<!-- end -->"
    text, places = re.subn(pattern, filled, page.read_text(), flags=re.DOTALL)
    if not places:
        raise UserError(f"{page} has no place for a table, <!-- table: NAME --> and <!-- end -->")
    page.write_text(text)


def _fashion(results: Results) -> str:
    """Each class, ours beside the baselines and the control."""
    ours = results.label("fashion")
    columns = {
        "**ours**": _cell(results, FASHION, ours, FUSED),
        **{method: _cell(results, FASHION, "32px", method) for method in (KNN, PCA, FOREST)},
        CONTROL: _cell(results, FASHION, ours, CONTROL),
        f"above {KNN}": _gain(results, (ours, FUSED), ("32px", KNN)),
        f"above {CONTROL}": _gain(results, (ours, FUSED), (ours, CONTROL)),
        "training, CPU s": _cell(results, FASHION, ours, FUSED, column="train_cpu_s", form=".0f"),
        "ms per image": _cell(results, FASHION, ours, FUSED, column="score_ms", form=".2f"),
    }
    means = {"mean of ten": ALL, "mean of the seven": OTHERS}
    return _class_table(columns, means) + _origin(results, "fashion")


def _longer(results: Results) -> str:
    """What time buys."""
    columns: dict[str, Cell] = {}
    for name in ("fashion", "fashion-longer"):
        label = results.label(name)
        columns[f"`{name}`"] = _cell(results, FASHION, label, FUSED)
        columns[f"`{name}`, CPU s"] = _cell(results, FASHION, label, FUSED, column="train_cpu_s", form=".0f")
    means = {"mean of ten": ALL, "mean of the seven": OTHERS}
    return _class_table(columns, means) + _origin(results, "fashion", "fashion-longer")


def _contamination(results: Results) -> str:
    """What anomalies among the normal images cost."""
    ours = results.label("fashion-trimmed")
    columns: dict[str, Cell] = {}
    for share in (0, 0.01, 0.05, 0.1):
        columns[f"ours, {share:.0%}"] = _cell(results, FASHION, ours, FUSED, contamination=share)
    columns[f"{KNN}, 10%"] = _cell(results, FASHION, "32px", KNN, contamination=0.1)
    columns[f"{CONTROL}, 10%"] = _cell(results, FASHION, ours, CONTROL, contamination=0.1)
    means = {"mean of ten": ALL, f"mean of {', '.join(CHOSEN_ON)}": CHOSEN_ON, "mean of the seven": OTHERS}
    return _class_table(columns, means) + _origin(results, "fashion-trimmed")


def _texture(results: Results) -> str:
    """Images and pixels of the texture set."""
    ours = results.label("texture")
    rows = []
    for texture in ("brick", "gravel"):
        for title, settings, method in (
            ("**ours**", ours, FUSED),
            (CONTROL, ours, CONTROL),
            (KNN, "128px", KNN),
            (PCA, "128px", PCA),
            (FOREST, "128px", FOREST),
        ):
            cells = [_cell(results, TEXTURE, settings, method, metric) for metric in MEASURES.values()]
            cells.append(_cell(results, TEXTURE, settings, method, column="train_cpu_s", form=".0f"))
            cells.append(_cell(results, TEXTURE, settings, method, column="score_ms", form=".2f"))
            rows.append([texture, title, *(cell([texture]) for cell in cells)])
    headings = ["texture", "", *MEASURES, "training, CPU s", "ms per image"]
    return _table(headings, rows) + _origin(results, "texture")


def _growing(results: Results) -> str:
    """Growing against training at the final resolution, at equal time."""
    classes: dict[tuple[str, int, str], list[str]] = {}
    for task in read_tasks(["growing"]):
        classes.setdefault((task.dataset, task.spec.resolution, task.name), []).append(task.normal_class)
    rows = []
    for (dataset, resolution, name), own in classes.items():
        label = results.label(name)
        cells = [_cell(results, dataset, label, FUSED, metric) for metric in MEASURES.values()]
        cells.append(_cell(results, dataset, label, FUSED, "swd", form=".1f"))
        cells.append(_cell(results, dataset, label, FUSED, column="train_cpu_s", form=".0f"))
        rows.append([", ".join(own), f"{resolution} px", f"`{name}`", *(cell(own) for cell in cells)])
    headings = ["normal", "resolution", "settings", *MEASURES, "SWD", "training, CPU s"]
    return _table(headings, rows) + _origin(results, *(name for _, _, name in classes))


def _scores(results: Results) -> str:
    """Each component of the score alone, and the fusion with and without it."""
    fashion, texture = results.label("fashion"), results.label("texture")
    methods = dict.fromkeys([*results.methods(fashion), *results.methods(texture)])
    methods.pop(CONTROL, None)
    rows = []
    for method in methods:
        cells = [_cell(results, FASHION, fashion, method)(names) for names in (CHOSEN_ON, OTHERS, ALL)]
        cells += [_cell(results, TEXTURE, texture, method)([name]) for name in ("brick", "gravel")]
        rows.append([f"**{method}**" if method == FUSED else method, *cells])
    headings = ["score", f"classes {', '.join(CHOSEN_ON)}", "the other seven", "all ten", "brick", "gravel"]
    return _table(headings, rows) + _origin(results, "fashion", "texture")


def _training(results: Results) -> str:
    """Other settings of training and scoring."""
    names = list(dict.fromkeys(task.name for task in read_tasks(["ablation"])))
    rows = []
    for name in names:
        auroc = _cell(results, FASHION, results.label(name), FUSED)
        seconds = _cell(results, FASHION, results.label(name), FUSED, column="train_cpu_s", form=".0f")
        rows.append([f"`{name}`", *(auroc([one]) for one in CHOSEN_ON), auroc(CHOSEN_ON), seconds(CHOSEN_ON)])
    return _table(["settings", *CHOSEN_ON, "mean", "training, CPU s"], rows) + _origin(results, *names)


def _cell(
    results: Results,
    dataset: str,
    settings: str,
    method: str,
    metric: str = "image_auroc",
    contamination: float = 0,
    column: str = "value",
    form: str = ".3f",
) -> Cell:
    """Returns what a column says; arguments as `Results.found`."""

    def cell(classes: Sequence[str]) -> str:
        found = [
            results.found(dataset, name, settings, method, metric, contamination, column) for name in classes
        ]
        return _text(mean_over(found), form)

    return cell


def _gain(results: Results, own: tuple[str, str], other: tuple[str, str]) -> Cell:
    """Returns by how much one (settings, method) is above another, on the mean over seeds."""

    def cell(classes: Sequence[str]) -> str:
        both = [
            mean_over([results.found(FASHION, name, settings, method) for name in classes])
            for settings, method in (own, other)
        ]
        return _short(f"{both[0].mean - both[1].mean:+.3f}") if all(both) else EMPTY

    return cell


def _text(found: Found, form: str) -> str:
    if not found:
        return EMPTY
    spread = "" if found.spread is None else f" ± {found.spread:{form}}"
    return _short(f"{found.mean:{form}}{spread}")


def _short(numbers: str) -> str:
    """Leaves out the zero before a point."""
    return re.sub(r"(?<!\d)0\.", ".", numbers)


def _class_table(columns: dict[str, Cell], means: dict[str, Sequence[str]]) -> str:
    """Returns a table with a line per class and lines of means."""
    lines = {f"{name} {title}": [name] for name, title in zip(ALL, CLASSES, strict=True)}
    lines |= {f"**{title}**": list(names) for title, names in means.items()}
    rows = [[title, *(cell(names) for cell in columns.values())] for title, names in lines.items()]
    return _table(["normal class", *columns], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(results: Results, *names: str) -> str:
    labels = ", ".join(f"`{results.label(name)}`" for name in names)
    commits = sorted({commit for name in names for commit in results.commits(name)})
    return f"\n\nSettings {labels}; measured at {', '.join(commits)}." if commits else ""
