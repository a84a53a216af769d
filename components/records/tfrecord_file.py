"""Reads TFRecord files record by record, and survives whatever stands in them.

TensorFlow's own reader asks for as much memory as a length field says, and ends the process where a damaged
one says too much. Here every length is held against what is left of the file first.
"""

import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c
import tensorflow as tf

from proganomaly.components.errors import UserError

# A record is: length (uint64), its checksum (uint32), the content, the content's checksum (uint32).
FRAME_BYTES = 16
_LENGTH = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_GZIP_MAGIC = b"\x1f\x8b"
# No protocol buffer can be longer.
_LONGEST_RECORD = 2**31 - 1
_CHUNK_BYTES = 1 << 20
_Readable = BinaryIO | gzip.GzipFile
_UNREADABLE_ERRORS = (OSError, EOFError, zlib.error, tf.errors.OpError)


class DamagedRecords(UserError):
    """A file that cannot be read to its end.

    Attributes:
        path: The file.
        readable: Number of records before the damage.
        reason: What is wrong there.
    """

    _told = "{path} is damaged, truncated or no TFRecord file: record {readable}: {reason}"

    def __init__(self, path: str, readable: int, reason: str):
        super().__init__(self._told.format(path=path, readable=readable, reason=reason))
        self.path = path
        self.readable = readable
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        """Pickles what it was made of, as an error in a worker travels to the caller."""
        return type(self), (self.path, self.readable, self.reason)


class UnreadableRecords(DamagedRecords):
    """A file that is missing, or that the file system does not give."""

    _told = "{path}, record {readable}: {reason}"


def read_tfrecords(path: str, allow_gzip: bool = True) -> Iterator[bytes]:
    """Yields the records of a file in their order.

    Args:
        path: A file, plain or gzipped, see `is_gzipped`.
        allow_gzip: Whether it may be gzipped.

    Raises:
        DamagedRecords: the file ends or breaks off inside of a record, a checksum is wrong, or, as
            UnreadableRecords, it cannot be read; all records before have been yielded.
    """
    number = 0
    try:
        with _opened(path) as (file, size):
            if size is None and not allow_gzip:
                raise _BrokenFrameError("the file is gzipped, and must not be")
            position = 0
            while header := _read(file, _LENGTH.size):
                length = _checked_length(header, None if size is None else size - position - FRAME_BYTES)
                content, ending = _read(file, length), _read(file, _CHECKSUM.size)
                if len(content) < length or len(ending) < _CHECKSUM.size:
                    raise _BrokenFrameError("the file ends inside of it")
                if _CHECKSUM.unpack(ending)[0] != masked_crc(content):
                    raise _BrokenFrameError("its content has another checksum")
                yield content
                number += 1
                position += length + FRAME_BYTES
    except _BrokenFrameError as error:
        raise DamagedRecords(path, number, str(error)) from error
    except _UNREADABLE_ERRORS as error:
        reason = str(getattr(error, "message", "") or error).partition("\n")[0]
        raise UnreadableRecords(path, number, f"it cannot be read ({reason})") from error


def is_gzipped(path: str) -> bool:
    """Whether a file is gzipped, by its first bytes: a plain one begins with a length and its checksum."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return _is_gzip(file.read(_LENGTH.size))


def masked_crc(content: bytes) -> int:
    """Returns the checksum of a TFRecord: CRC-32C, rotated and shifted so that it is none of itself."""
    crc = google_crc32c.value(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class _BrokenFrameError(Exception):
    """What is wrong with a record."""


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[_Readable, int | None]]:
    """Opens a file; its size is None where it is gzipped."""
    with tf.io.gfile.GFile(path, "rb") as file:
        is_gzip = _is_gzip(file.read(_LENGTH.size))
        file.seek(0)
        if not is_gzip:
            yield file, file.size()
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked, None


def _is_gzip(start: bytes) -> bool:
    # A record of 35,615 bytes begins as a gzipped file does.
    return start.startswith(_GZIP_MAGIC) and not _is_header(start)


def _is_header(header: bytes) -> bool:
    """Whether 12 bytes are a record's length and the checksum of that."""
    return len(header) == _LENGTH.size and _LENGTH.unpack(header)[1] == masked_crc(header[:8])


def _checked_length(header: bytes, left: int | None) -> int:
    """Returns a record's length, in bytes.

    Args:
        header: Length and checksum, as far as the file goes.
        left: Bytes that its content can have at most, None if unknown.
    """
    if len(header) < _LENGTH.size:
        raise _BrokenFrameError("the file ends inside of it")
    length: int
    length, _ = _LENGTH.unpack(header)
    if not _is_header(header):
        raise _BrokenFrameError("its length has another checksum")
    if length > _LONGEST_RECORD:
        raise _BrokenFrameError(f"its length is said to be {length} bytes")
    if left is not None and length > left:
        raise _BrokenFrameError("the file ends inside of it")
    return length


def _read(file: _Readable, length: int) -> bytes:
    """Reads so many bytes, fewer at the end of the file, and asks for no more memory than comes."""
    if length <= _CHUNK_BYTES:
        return file.read(length)
    chunks, left = [], length
    while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
