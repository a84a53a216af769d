"""Writes files so that a reader sees either the old content or the new one, never half of it."""

import contextlib
import uuid
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a hidden path beside `path` to write to, and renames it into place when all went well.

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
        if tf.io.gfile.exists(beside):
            tf.io.gfile.remove(beside)
        raise


def write_atomic(path: str, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes to `path`; see `replacing`."""
    with replacing(path) as beside, tf.io.gfile.GFile(beside, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
