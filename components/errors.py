"""The errors that a user's own input can cause.

Everything that a user can mend (a mistyped option, a missing folder, an impossible setting) is raised as
one of these, with a message of one line that names the thing, the limit and the value received. The
command line prints that line and exits with code 2; a traceback is kept for our own mistakes.
"""

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Any

# How a traceback ends, and what Beam puts behind it.
_BEAMS_STEP = " [while running "
_IN_A_TRACEBACK = re.compile(
    rf"^proganomaly\.components\.(?:\w+\.)*\w+: (?P<message>.+?)(?:{re.escape(_BEAMS_STEP)}.*)?$",
    re.MULTILINE,
)


class UserError(Exception):
    """Something that the user can mend; its message is a single, complete line."""


class SettingsError(UserError, ValueError):
    """A setting outside of what it may be."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as before a machine is taken away."""


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raises SettingsError unless `value` is one of `choices`."""
    if value not in choices:
        allowed = ", ".join(str(choice) for choice in choices)
        raise SettingsError(f"{name} must be one of {allowed}; received {value!r}")


def check_range(
    name: str,
    value: float,
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive: bool = False,
) -> None:
    """Raises SettingsError unless `value` lies in the range; `exclusive` leaves out both ends."""
    too_low = minimum is not None and (value <= minimum if exclusive else value < minimum)
    too_high = maximum is not None and (value >= maximum if exclusive else value > maximum)
    if not (too_low or too_high or value != value):
        return
    bounds = []
    if minimum is not None:
        bounds.append(f"{'above' if exclusive else 'at least'} {minimum}")
    if maximum is not None:
        bounds.append(f"{'below' if exclusive else 'at most'} {maximum}")
    raise SettingsError(f"{name} must be {' and '.join(bounds)}; received {value!r}")


@contextlib.contextmanager
def errors_of_workers() -> Iterator[None]:
    """Raises a UserError of a Beam worker as what it was.

    It arrives with the name of Beam's step behind it, or, from another process, as the text of a traceback.

    Raises:
        UserError: the error raised inside is, or ends with, one.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) and _BEAMS_STEP not in str(error):
            raise
        text = f"{UserError.__module__}.UserError: {error}" if isinstance(error, UserError) else str(error)
        found = _IN_A_TRACEBACK.search(text)
        if found is None:
            raise
        raise UserError(found["message"]) from error
