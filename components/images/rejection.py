"""Why a file cannot be used, in one line and never as a traceback."""

import contextlib
import re
from collections.abc import Iterator

_LONGEST_REASON = 300


class Rejected(Exception):
    """A file that cannot be used.

    Attributes:
        stage: What was tried: "list", "read", "format", "header", "decode" or "mask".
        reason: One line for the user, whatever the file put into it.
    """

    def __init__(self, stage: str, reason: str):
        self.stage = stage
        self.reason = _printable(reason)
        super().__init__(f"{stage}: {self.reason}")


@contextlib.contextmanager
def rejecting(stage: str) -> Iterator[None]:
    """Turns whatever a decoder raises into a rejection: on broken data they raise nearly anything."""
    try:
        yield
    except Rejected:
        raise
    except Exception as error:
        raise Rejected(stage, one_line(error)) from error


def one_line(error: BaseException) -> str:
    """Puts an error into one short line, without TensorFlow's names of nodes and ops."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|<_io\.BytesIO.*?>", "", " ".join(str(error).split()))
    return _printable(text) or type(error).__name__


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises Rejected unless an image has pixels, and not too many."""
    if width < 1 or height < 1:
        raise Rejected("header", f"{width} x {height} is no size of an image")
    if width * height > max_pixels:
        raise Rejected("header", f"{width} x {height} is more than max_pixels ({max_pixels})")


def _printable(text: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return printable[:_LONGEST_REASON]
