"""What a file of Examples holds, without a single pixel: where its images are, and their statistics.

Everything that is sent between workers is such an inventory. The images themselves are read where they are
transformed, by the places noted here.
"""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from proganomaly.components.errors import UserError
from proganomaly.components.files import replacing
from proganomaly.components.pyramid.preprocessing import STATISTICS
from proganomaly.components.records.image_example import decode_image_example
from proganomaly.components.records.record_places import RecordPlaces, whole_file
from proganomaly.components.records.tfrecord_file import is_gzipped, masked_crc, read_tfrecords


@dataclasses.dataclass(frozen=True)
class Inventory:
    """The images of a file.

    Attributes:
        places: Where they are.
        keys: uint64 [N], hashes of the Examples' checksums and lengths, which shuffle them: alike in every
            run, whatever file an Example is in.
        statistics: float32 [N, 3], each image's `preprocessing.STATISTICS`.
    """

    places: RecordPlaces
    keys: NDArray[np.uint64]
    statistics: NDArray[np.float32]


def take_inventory(path: str) -> Inventory:
    """Reads a plain TFRecord file of Examples from its beginning to its end, one record at a time.

    Raises:
        UserError: it cannot be read to its end, or a record is no image.
    """
    lengths, checksums, statistics = [], [], []
    for number, serialized in enumerate(read_tfrecords(path, allow_gzip=False)):
        try:
            record = decode_image_example(serialized)
        except ValueError as error:
            raise UserError(f"{path}: record {number}: {error}") from error
        lengths.append(len(serialized))
        checksums.append(masked_crc(serialized))
        statistics.append([getattr(record, name) for name in STATISTICS])
    places = whole_file(path, lengths)
    return Inventory(
        places,
        _hash(np.array(checksums, np.uint64) << np.uint64(32) ^ places.lengths.astype(np.uint64)),
        np.array(statistics, np.float32).reshape(-1, len(STATISTICS)),
    )


def unzipped(path: str, folder: str) -> str:
    """Returns the file itself, or a plain copy of a gzipped one, as other ExampleGens write them.

    In a gzipped file no record can be read without all those before it.

    Args:
        path: The file.
        folder: Where the copy goes.

    Raises:
        UserError: the file cannot be read to its end.
    """
    if not is_gzipped(path):
        return path
    copy = f"{folder}/{hashlib.sha256(path.encode()).hexdigest()}.tfrecord"
    with replacing(copy) as beside, tf.io.TFRecordWriter(beside) as writer:
        for serialized in read_tfrecords(path):
            writer.write(serialized)
    return copy


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spreads values over all 64 bits, one to one.

    Source: Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", the mixing of SplitMix64.
    """
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
