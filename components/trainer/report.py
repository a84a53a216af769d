"""Lines about a run, each as severe as it is."""

import logging
from collections.abc import Callable

Report = Callable[[str], None]


class Reporter:
    """Passes on the lines that are at least as severe as the settings ask for.

    Args:
        report: Receives one line at a time.
        verbosity: One of `settings.VERBOSITIES`; the status lines are INFO.
    """

    def __init__(self, report: Report, verbosity: str) -> None:
        self._report, self._least = report, logging.getLevelName(verbosity)

    def debug(self, line: str) -> None:
        """Reports what helps to find a mistake."""
        self._at(logging.DEBUG, line)

    def info(self, line: str) -> None:
        """Reports how the run is getting on."""
        self._at(logging.INFO, line)

    def warning(self, line: str) -> None:
        """Reports what the user should look into."""
        self._at(logging.WARNING, f"warning: {line}")

    def _at(self, level: int, line: str) -> None:
        if level >= self._least:
            self._report(line)
