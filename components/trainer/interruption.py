"""Ends a run between two steps when it is asked to stop, so that its state can be saved whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from proganomaly.components.errors import Terminated

_ENDINGS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class Interruption:
    """While entered, SIGINT and SIGTERM are remembered; a second one interrupts at once.

    Outside of the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._previous: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._number is not None

    def end(self) -> None:
        """Ends the run as it was asked to.

        Raises:
            KeyboardInterrupt: it was asked to stop; `Terminated` where it was by SIGTERM.
        """
        if self._number is not None:
            raise _ENDINGS[signal.Signals(self._number)]

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise _ENDINGS[signal.Signals(number)]
        self._number = number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """While entered, SIGTERM ends what is being done as Ctrl-C does, with what has to be tidied up.

    Raises:
        Terminated: SIGTERM came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
