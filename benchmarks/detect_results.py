"""The results of the detection benchmark: a CSV file that rows are appended to."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from detect_settings import Task

from proganomaly.components.errors import UserError

COLUMNS = (
    *("dataset", "normal_class", "seed", "contamination", "method", "role", "metric", "value"),
    *("train_cpu_s", "score_ms", "settings", "commit"),
)
TIMES = ("train_cpu_s", "score_ms")


class Key(NamedTuple):
    """What a value is of; all as the file has it."""

    dataset: str
    normal_class: str
    seed: str
    contamination: str
    settings: str
    method: str
    metric: str


@dataclasses.dataclass(frozen=True)
class Found:
    """Values over seeds.

    Attributes:
        values: One per seed, by seed.
    """

    values: Mapping[str, float]

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.mean(self.values.values())

    @property
    def spread(self) -> float | None:
        """Their standard deviation; None of a single one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


class Results:
    """The rows of a file; of several with the same key the last one counts."""

    def __init__(self, path: pathlib.Path) -> None:
        self._rows: dict[Key, dict[str, str]] = {}
        # The settings' names with their hash, in the order in which they came last.
        self._labels: dict[str, str] = {}
        if not path.exists():
            return
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UserError(f"{path} must have the columns {', '.join(COLUMNS)}")
            for row in reader:
                self._rows[Key(*(row[name] for name in Key._fields))] = row
                self._labels[row["settings"].rpartition("-")[0]] = row["settings"]

    def has(self, task: Task, settings: str, method: str, metric: str = "image_auroc") -> bool:
        """Whether a measure of a task is there."""
        return Key(*place_of(task), settings, method, metric) in self._rows

    def label(self, name: str) -> str:
        """Returns the settings' name with the hash that came last; the name alone if there is none."""
        return self._labels.get(name, name)

    def commits(self, name: str) -> list[str]:
        """Returns the commits that the results of settings are of, sorted."""
        return sorted({row["commit"] for key, row in self._rows.items() if key.settings == self.label(name)})

    def methods(self, name: str) -> list[str]:
        """Returns the methods that were measured with settings, in order."""
        return list(dict.fromkeys(key.method for key in self._rows if key.settings == self.label(name)))

    def found(
        self,
        dataset: str,
        normal_class: str,
        settings: str,
        method: str,
        metric: str = "image_auroc",
        contamination: float = 0,
        column: str = "value",
    ) -> Found:
        """Returns what was measured, by seed.

        Args:
            dataset: Its name.
            normal_class: The class.
            settings: Name and hash; see `label`.
            method: The method.
            metric: The measure.
            contamination: Share of anomalies among the training images.
            column: "value", or one of `TIMES`.
        """
        wanted = Key(dataset, normal_class, "", f"{contamination:g}", settings, method, metric)
        return Found(
            {
                key.seed: float(row[column])
                for key, row in self._rows.items()
                if key._replace(seed="") == wanted and row[column]
            }
        )


def mean_over(found: Collection[Found]) -> Found:
    """Returns the means over classes of the seeds that all of them have; none where a class has nothing."""
    seeds = set.intersection(*(set(one.values) for one in found)) if found else set()
    return Found({seed: statistics.mean(one.values[seed] for one in found) for seed in sorted(seeds)})


def place_of(task: Task) -> tuple[str, str, str, str]:
    """Returns the columns that name a task, as text."""
    return task.dataset, task.normal_class, str(task.seed), f"{task.contamination:g}"


def append(path: pathlib.Path, task: Task, rows: Collection[Mapping[str, Any]]) -> None:
    """Adds the rows of a task, all at once, beneath a line of the columns where the file is new.

    Args:
        path: The file.
        task: What the rows are of.
        rows: What of `COLUMNS` the task does not say.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if not path.exists():
        writer.writeheader()
    place = dict(zip(COLUMNS, place_of(task), strict=False))
    for row in rows:
        numbers = {name: "" if row[name] is None else f"{row[name]:.6g}" for name in ("value", *TIMES)}
        writer.writerow({**place, **row, **numbers})
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="") as file:
        file.write(text.getvalue())
