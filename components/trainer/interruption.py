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

    Attributes:
        number: The signal that asked for it; 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._deferring = True
        self._previous: dict[int, object] = {}

    @staticmethod
    def end(number: int) -> None:
        """Ends the run as the signal asked, if it is one: this process' own, or that of another worker.

        Raises:
            KeyboardInterrupt: it was asked to stop; `Terminated` where it was by SIGTERM.
        """
        if number:
            raise _ENDINGS[signal.Signals(number)]

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """While entered, signals interrupt at once: for long work that leaves nothing half done."""
        self.end(self.number)
        self._deferring = False
        try:
            yield
        finally:
            self._deferring = True

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.number or not self._deferring:
            raise _ENDINGS[signal.Signals(number)]
        self.number = number


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
