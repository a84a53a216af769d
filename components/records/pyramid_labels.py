"""Classes of a pyramid's images, in the file that the original's tool writes beside single-file levels.

Source: Karras et al. 2018, `dataset_tool.py`: `<prefix>rxx.labels` is a NumPy file, float32 [N, classes], of
one-hot rows in the order of the records.
"""

import io

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.files import write_atomic

LABELS_SUFFIX = "rxx.labels"


def labels_path(prefix: str) -> str:
    """Returns where the classes of a pyramid are that has such a prefix."""
    return f"{prefix}{LABELS_SUFFIX}"


def write_labels(prefix: str, labels: NDArray[np.float32]) -> None:
    """Writes `<prefix>rxx.labels`.

    Args:
        prefix: Path up to where the level's name stands in the files of the pyramid.
        labels: float32 [N, classes], a one-hot row for each image.
    """
    buffer = io.BytesIO()
    np.save(buffer, labels)
    write_atomic(labels_path(prefix), buffer.getvalue())


def read_labels(prefix: str) -> NDArray[np.float32] | None:
    """Reads `<prefix>rxx.labels`.

    Returns:
        float32 [N, classes]; None where there is no such file.

    Raises:
        UserError: the file is no such array.
    """
    path = labels_path(prefix)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        labels = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # of a broken header NumPy raises what Python's parser does, and more
        raise UserError(f"{path} is no NumPy file of labels") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "fiub":
        found = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else "several arrays"
        raise UserError(f"{path} must hold numbers of shape [images, classes]; it holds {found}")
    return labels.astype(np.float32)
