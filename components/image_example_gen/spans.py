"""Folders that arrive over time: `images/span-{SPAN}` or `images/{YYYY}-{MM}-{DD}`; the newest ones count."""

import dataclasses
import datetime
import hashlib
import os
import re
from collections.abc import Sequence

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts import list_images
from proganomaly.components.image_example_gen.layouts.tree import walk
from proganomaly.components.image_example_gen.listing import fingerprint, is_local
from proganomaly.components.image_example_gen.settings import ImageExampleGenSettings

_EPOCH = datetime.date(1970, 1, 1)
_FIELDS = {"SPAN": r"\d+", "YYYY": r"\d{4}", "MM": r"\d{2}", "DD": r"\d{2}"}
_DATE = ("YYYY", "MM", "DD")
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")


@dataclasses.dataclass(frozen=True)
class Span:
    """One batch of images.

    Attributes:
        number: That of `{SPAN}`, for dates the days since 1970-01-01 (as TFX has it), 0 without placeholders.
        root: Its folder.
        name: What tells it from the others in paths: its folder below where the placeholders begin; ""
            without placeholders.
    """

    number: int
    root: str
    name: str = ""

    def path_of(self, path: str) -> str:
        """Returns what a file of the span is called among those of all spans."""
        return f"{self.name}/{path}" if self.name else path


def resolve_window(root_pattern: str, window: int) -> tuple[Span, ...]:
    """Finds the newest spans of a pattern; those without a single file do not count.

    Args:
        root_pattern: A path that may hold `{SPAN}` (a number) or `{YYYY}`, `{MM}` and `{DD}`, within one name
            or several.
        window: Most spans to return.

    Returns:
        The spans, the newest last.

    Raises:
        UserError: a placeholder is unknown, missing or doubled, or no folder matches.
    """
    pattern = root_pattern.rstrip("/") or "/"
    fields = _PLACEHOLDER.findall(pattern)
    if not fields:
        return (Span(0, pattern),)
    if fields != ["SPAN"] and sorted(fields) != sorted(_DATE):
        raise UserError(
            "an image folder may hold {SPAN} once, or {YYYY}, {MM} and {DD} once each; "
            f"received {root_pattern}"
        )
    fixed = pattern[: pattern.index("{")].rpartition("/")[0]
    spans = sorted(
        (number, path) for path, values in _matches(pattern) if (number := _span(values)) is not None
    )
    chosen: list[Span] = []
    for number, path in reversed(spans):
        if len(chosen) < window and _holds_files(path):
            chosen.append(Span(number, path, path.removeprefix(fixed).lstrip("/")))
    if spans and not chosen:
        raise UserError(f"the {len(spans)} folders that match {root_pattern} hold no files")
    if not chosen:
        raise UserError(f"no folder matches {root_pattern}")
    return tuple(reversed(chosen))


def window_fingerprint(window: Sequence[Span], settings: ImageExampleGenSettings) -> str:
    """Returns a digest that changes when a span comes or goes, or a file of one changes."""
    digest = hashlib.sha256()
    for span in window:
        digest.update(f"{span.number}\0{fingerprint(list_images(span.root, settings))}\n".encode())
    return digest.hexdigest()


def _holds_files(folder: str) -> bool:
    """Whether there is anything in a folder or below that may be an image, be it a broken one."""
    tree = walk(folder, follow_links=False)
    return bool(tree.files or tree.problems)


def _matches(pattern: str) -> list[tuple[str, dict[str, str]]]:
    """Returns the folders that match, each with the values of its placeholders.

    Walks down name by name: a glob would take brackets and stars in the user's own names for its signs.
    """
    names = pattern.split("/")
    first = next(i for i, name in enumerate(names) if _PLACEHOLDER.search(name))
    start = "/".join(names[:first]) or ("/" if pattern.startswith("/") else ".")
    candidates: list[tuple[str, dict[str, str]]] = [(start, {})]
    for name in names[first:]:
        candidates = [
            (f"{folder.rstrip('/')}/{child}", values | match.groupdict())
            for folder, values in candidates
            for child in _folder_names(folder)
            if (match := _as_regex(name).fullmatch(child))
        ]
    return [(folder.removeprefix("./"), values) for folder, values in candidates]


def _folder_names(folder: str) -> list[str]:
    if not tf.io.gfile.isdir(folder):
        return []
    if is_local(folder):
        # TensorFlow's list breaks at a name that is not UTF-8, wherever it stands; no pattern matches one.
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    return [name for name in names if tf.io.gfile.isdir(f"{folder.rstrip('/')}/{name}")]


def _as_regex(name: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(name)
    # split() puts the placeholders' names at the odd places.
    return re.compile(
        "".join(f"(?P<{part}>{_FIELDS[part]})" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    )


def _span(values: dict[str, str]) -> int | None:
    """Returns the span of a folder, None for a date that no calendar knows."""
    if "SPAN" in values:
        return int(values["SPAN"])
    try:
        return (datetime.date(*(int(values[field]) for field in _DATE)) - _EPOCH).days
    except ValueError:
        return None
