"""Writes files so that a reader sees either the old content or the new one, never half of it."""

import contextlib
import uuid
from collections.abc import Iterator

import tensorflow as tf

from proganomaly.components.errors import UserError

# What file systems answer; TensorFlow's other errors are mistakes of a program.
_FILE_ERRORS = (
    OSError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a hidden path beside `path`, for a file or a folder; renames it into place when all went well.

    Folders are made as needed. The hidden name is unique, so two workers that write the same file do not
    meet: the last one wins.

    Args:
        path: Any path that `tf.io.gfile` knows: local, bucket or cluster volume.
    """
    folder, _, name = path.rpartition("/")
    if folder:
        tf.io.gfile.makedirs(folder)
    beside = f"{folder}/.{name}.{uuid.uuid4().hex}" if folder else f".{name}.{uuid.uuid4().hex}"
    try:
        yield beside
        tf.io.gfile.rename(beside, path, overwrite=True)
    except BaseException:
        if tf.io.gfile.isdir(beside):
            tf.io.gfile.rmtree(beside)
        elif tf.io.gfile.exists(beside):
            tf.io.gfile.remove(beside)
        raise


def write_atomic(path: str, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes to `path`; see `replacing`."""
    with replacing(path) as beside, tf.io.gfile.GFile(beside, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def require_folder(name: str, path: str) -> None:
    """Makes sure that a folder can be written to, before hours of work count on it.

    Args:
        name: What the folder is for, for the message.
        path: The folder; it is made if it is missing.

    Raises:
        UserError: it is a file, or cannot be made or written to.
    """
    with writing(f"the {name} folder {path}"):
        tf.io.gfile.makedirs(path)
        # A name of its own: several workers may try the same folder at the same time.
        probe = f"{path.rstrip('/')}/.writable.{uuid.uuid4().hex}"
        write_atomic(probe, "")
        tf.io.gfile.remove(probe)


@contextlib.contextmanager
def writing(name: str, kept: str = "") -> Iterator[None]:
    """Tells in one line what cannot be written inside of it, on a full disk or in a folder of another owner.

    Args:
        name: What is written, for the message.
        kept: What is safe all the same, for the message.

    Raises:
        UserError: an operation on files failed.
    """
    try:
        yield
    except _FILE_ERRORS as error:
        reason = str(getattr(error, "message", "") or error).splitlines()[0].partition(" [Op:")[0]
        # The operation that failed stands before the reason, in braces.
        reason = reason.rpartition("}} ")[2]
        raise UserError(f"{name} cannot be written to: {reason}{kept and f'; {kept}'}") from error
