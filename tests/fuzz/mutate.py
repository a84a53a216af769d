"""Damages bytes as broken disks, cut transfers, clumsy tools and malice do."""

import random
from collections.abc import Callable

Change = Callable[[bytearray, random.Random, bytes], None]
# Lengths, sizes and offsets at which programs trip.
_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
# Headers hold what decoders trust; half of the changes fall there.
_HEADER_BYTES = 128
_MOST_CHANGES = 5


def mutate(content: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Returns `content` with one to five changes.

    Args:
        content: What is damaged, not empty.
        rng: Where the changes come from; the same state makes the same ones.
        other: Something else of the kind, for splices.
    """
    changed = bytearray(content)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        if not changed:
            break
        rng.choice(_CHANGES)(changed, rng, other or content)
    return bytes(changed)


def _place(content: bytearray, rng: random.Random) -> int:
    return rng.randrange(min(len(content), _HEADER_BYTES) if rng.random() < 0.5 else len(content))


def _flip_bit(content: bytearray, rng: random.Random, other: bytes) -> None:
    content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _write_byte(content: bytearray, rng: random.Random, other: bytes) -> None:
    content[_place(content, rng)] = rng.randrange(256)


def _write_number(content: bytearray, rng: random.Random, other: bytes) -> None:
    """Puts a number that programs trip at into 1 to 8 bytes, in either order."""
    place, size = _place(content, rng), rng.choice((1, 2, 4, 4, 8))
    number = rng.choice(_NUMBERS) % 256**size
    written = number.to_bytes(size, rng.choice(("little", "big")))[: len(content) - place]
    content[place : place + len(written)] = written


def _count_up(content: bytearray, rng: random.Random, other: bytes) -> None:
    """Changes a number a little: a length that is one off."""
    place = _place(content, rng)
    content[place] = (content[place] + rng.choice((-2, -1, 1, 2))) % 256


def _cut_end(content: bytearray, rng: random.Random, other: bytes) -> None:
    del content[rng.randrange(len(content)) :]


def _cut_out(content: bytearray, rng: random.Random, other: bytes) -> None:
    place = _place(content, rng)
    del content[place : place + rng.randint(1, 40)]


def _repeat(content: bytearray, rng: random.Random, other: bytes) -> None:
    place = _place(content, rng)
    content[place:place] = content[place : place + rng.randint(1, 60)] * rng.randint(1, 4)


def _insert(content: bytearray, rng: random.Random, other: bytes) -> None:
    place = _place(content, rng)
    content[place:place] = rng.randbytes(rng.randint(1, 20))


def _blank(content: bytearray, rng: random.Random, other: bytes) -> None:
    place = _place(content, rng)
    length = min(rng.randint(1, 60), len(content) - place)
    content[place : place + length] = bytes([rng.choice((0, 255))]) * length


def _splice(content: bytearray, rng: random.Random, other: bytes) -> None:
    """Goes on with the end of another file, or with a piece of it."""
    start = rng.randrange(len(other))
    if rng.random() < 0.5:
        content[_place(content, rng) :] = other[start:]
    else:
        place, piece = _place(content, rng), other[start : start + rng.randint(1, 60)]
        content[place : place + len(piece)] = piece


_CHANGES: tuple[Change, ...] = (
    _flip_bit,
    _write_byte,
    _write_number,
    _write_number,
    _count_up,
    _cut_end,
    _cut_out,
    _repeat,
    _insert,
    _blank,
    _splice,
)
