"""Arrays that may be larger than the memory: maps and pixels of a whole split."""

import tempfile

import numpy as np
from numpy.typing import DTypeLike, NDArray


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Returns zeros in a temporary file, which goes when the array does.

    The system keeps in memory what fits, and what was never written takes no place at all. The file is in the
    system's temporary folder, which `TMPDIR` moves.

    Args:
        shape: With a dimension of 0 there is no file.
        dtype: Type of the values.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if not size:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape)
