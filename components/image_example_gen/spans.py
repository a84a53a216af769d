"""Folders that arrive over time: `images/span-{SPAN}` or `images/{YYYY}-{MM}-{DD}`; the newest one counts."""

import datetime
import re

import tensorflow as tf

from proganomaly.components.errors import UserError

_EPOCH = datetime.date(1970, 1, 1)
_FIELDS = {"SPAN": r"\d+", "YYYY": r"\d{4}", "MM": r"\d{2}", "DD": r"\d{2}"}
_DATE = ("YYYY", "MM", "DD")
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")


def resolve_span(root_pattern: str) -> tuple[str, int]:
    """Finds the newest folder of a pattern.

    Args:
        root_pattern: A path that may hold `{SPAN}` (a number) or `{YYYY}`, `{MM}` and `{DD}`, within one name
            or several.

    Returns:
        The folder, and its span: the number, for dates the days since 1970-01-01 (as TFX has it), 0 for a
        path without placeholders.

    Raises:
        UserError: a placeholder is unknown, missing or doubled, or no folder matches.
    """
    pattern = root_pattern.rstrip("/") or "/"
    fields = _PLACEHOLDER.findall(pattern)
    if not fields:
        return pattern, 0
    if fields != ["SPAN"] and sorted(fields) != sorted(_DATE):
        raise UserError(
            "an image folder may hold {SPAN} once, or {YYYY}, {MM} and {DD} once each; "
            f"received {root_pattern}"
        )
    found = [(span, path) for path, values in _matches(pattern) if (span := _span(values)) is not None]
    if not found:
        raise UserError(f"no folder matches {root_pattern}")
    span, path = max(found)
    return path, span


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
