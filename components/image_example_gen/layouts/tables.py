"""Tables that users write: CSV and JSON lines; each mistake is told with file, line, column and value."""

import csv
import dataclasses
import io
import json
from collections.abc import Collection, Iterator
from typing import Any

import tensorflow as tf

from proganomaly.components.errors import UserError
from proganomaly.components.image_example_gen.layouts.tree import printable


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        path: Of the table.
        line: Where the row ends, from 1.
        values: By column, in lower case; "" for what is missing or null.
    """

    path: str
    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")

    def error(self, column: str, problem: str) -> UserError:
        """Returns the error for one of the values."""
        return UserError(
            f"{printable(self.path)}, line {self.line}: {column} {problem}; received {self[column]!r}"
        )

    def checked(self, column: str, choices: Collection[str]) -> str:
        """Returns a value in lower case that is one of `choices`.

        Raises:
            UserError: it is none of them.
        """
        value = self[column].strip().lower()
        if value not in choices:
            raise self.error(column, f"must be one of {', '.join(filter(None, choices))}")
        return value


def read_table(path: str, required: Collection[str]) -> list[Row]:
    """Reads a table: `.jsonl` holds an object per line, anything else is CSV with a line of column names.

    Args:
        path: The file, in UTF-8.
        required: Columns that each row must have.

    Raises:
        UserError: it cannot be read, is no such table, or a column is missing.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise UserError(f"{printable(path)} cannot be read: {printable(error.message)}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{printable(path)}, line {line}: the text is not UTF-8") from error
    reader = _json_rows if path.lower().endswith(".jsonl") else _csv_rows
    rows = [Row(path, line, values) for line, values in reader(path, text, required)]
    for row in rows:
        for column, value in row.values.items():
            if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
                raise row.error(column, "holds a character that no name may hold")
    return rows


def _csv_rows(path: str, text: str, required: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    # Strict: a quote that is never closed would swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        missing = [column for column in required if column not in columns]
        if missing:
            raise UserError(
                f"{printable(path)}, line 1: the column {missing[0]} is missing; "
                f"received {printable(', '.join(columns)) or 'nothing'}"
            )
        doubled = next((name for name in columns if columns.count(name) > 1), None)
        if doubled is not None:
            raise UserError(f"{printable(path)}, line 1: two columns are called {printable(doubled)!r}")
        for cells in reader:
            if len(cells) > len(columns):
                raise UserError(
                    f"{printable(path)}, line {reader.line_num}: {len(cells)} values for {len(columns)} "
                    f"columns; the first too many is {cells[len(columns)]!r}"
                )
            if cells:
                yield reader.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise UserError(f"{printable(path)}, line {reader.line_num}: {error}") from error


def _json_rows(path: str, text: str, required: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{printable(path)}, line {number}: no JSON: {error}") from error
        if not isinstance(values, dict):
            raise UserError(f"{printable(path)}, line {number}: must be an object; received {line[:80]!r}")
        row = {name.lower(): _text(value) for name, value in values.items()}
        missing = [column for column in required if column not in row]
        if missing:
            raise UserError(
                f"{printable(path)}, line {number}: {missing[0]} is missing; "
                f"received {printable(', '.join(row)) or 'nothing'}"
            )
        yield number, row


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
