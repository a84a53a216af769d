"""Writes small files so that a reader sees either the old content or the new one, never half of it."""

import tensorflow as tf


def write_atomic(path: str, content: str | bytes) -> None:
    """Writes `content` beside `path` and renames it into place; folders are made as needed.

    Args:
        path: Any path that `tf.io.gfile` knows: local, bucket or cluster volume.
        content: Text (written as UTF-8) or bytes.
    """
    folder, _, _ = path.rpartition("/")
    if folder:
        tf.io.gfile.makedirs(folder)
    beside = path + ".part"
    with tf.io.gfile.GFile(beside, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    tf.io.gfile.rename(beside, path, overwrite=True)
