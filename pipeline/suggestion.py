"""Finds what a mistyped word was probably meant to be."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Returns "; did you mean X?" with the choice closest to `word`, or "" when none is close.

    A setting may be named by its last part alone: "--batch_size" finds "--trainer.batch_size".
    """
    known = sorted(choices)
    by_last_part = {choice.lstrip("-").rpartition(".")[2]: choice for choice in known}
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    if not matches:
        last_part = word.lstrip("-").replace("-", "_").rpartition(".")[2]
        matches = [by_last_part[part] for part in difflib.get_close_matches(last_part, by_last_part, n=1)]
    return f"; did you mean {matches[0]}?" if matches else ""
