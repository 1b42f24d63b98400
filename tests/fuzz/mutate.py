"""Damage to files: cut short, bytes changed, lengths exaggerated, pieces moved, doubled and mixed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from tests.fuzz.kinds import Mutation

_HUGE = [
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80" * 9 + b"\x01",
    b"\xff" * 8,
    b"\0" * 8,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\x00\x00\x00\x40\x00\x00\x00\x00",
]
_WORDS = ["layer", "layers", "{", "}", ":", "type", '"', "'", "\\", "#", "[", "]", "<", ">", "-", "1e999", "nan", "\0",
          "99999999999999999999", "${X}", "input_dim", "\xff", "true", "param", "0x", "\n", "\r", "€"]  # fmt: skip

_NUMBERS = [
    "-1", "0", "1", "255", "256", "65536", "1000000", "2147483647", "2147483648", "-2147483649", "4294967296",
    "9223372036854775808", "9" * 5000, "-" + "9" * 5000, "1e30", "1e400", "nan", "-inf", "0.5", "1_0", "0x10", "\u00b2",
    "\u0663", "", "x",
]  # fmt: skip
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def flip_bit(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    if out:
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def change_head(rng: random.Random, data: bytes) -> bytes:
    """Change bytes among the first 600, where lengths and tables stand."""
    return change_bytes(rng, data[:600]) + data[600:]


def exaggerate(rng: random.Random, data: bytes) -> bytes:
    """Write a large number over, or into, the bytes."""
    at, huge = rng.randrange(len(data) + 1), rng.choice(_HUGE)
    return data[:at] + huge + data[at + rng.choice((0, 1, len(huge))) :]


def double(rng: random.Random, data: bytes) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    times = rng.choice((1, 1, 2, 50))
    return data[:stop] + data[start:stop][:2000] * times + data[stop:]


def remove(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 8, 100)) :]


def swap_words(rng: random.Random, data: bytes) -> bytes:
    """Exchange a word of a text for another one."""
    words = [match.span() for match in re.finditer(rb"\w+|[^\w\s]", data)]
    if not words:
        return data
    start, stop = rng.choice(words)
    other = rng.choice(words)
    new = rng.choice(_WORDS).encode("latin-1", "replace") if rng.random() < 0.5 else data[slice(*other)]
    return data[:start] + new + data[stop:]


def nest(rng: random.Random, data: bytes) -> bytes:
    """Open a great many braces."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"{", b"layer {", b"a < ", b"[", b'"', b"\\")) * rng.choice((10, 3000)) + data[at:]


def change_number(rng: random.Random, data: bytes) -> bytes:
    """Exchange a number of a text for one that is too large, negative, or none."""
    numbers = [match.span() for match in re.finditer(rb"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?", data)]
    if not numbers:
        return data
    start, stop = rng.choice(numbers)
    return data[:start] + rng.choice(_NUMBERS).encode() + data[stop:]


def move_line(rng: random.Random, data: bytes) -> bytes:
    """Put a line elsewhere, leave it out, or repeat it."""
    lines = data.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 2, 500))):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def change_integer(rng: random.Random, data: bytes) -> bytes:
    """Write an extreme integer of 2, 4 or 8 bytes over aligned ones, those of the beginning more often."""
    size = rng.choice((2, 4, 4, 8))
    places = min(len(data), rng.choice((64, 600, len(data) or 1))) // size
    if not places:
        return data
    at = rng.randrange(places) * size + rng.choice((0, 0, 0, 2))
    number = rng.choice(_EXTREMES) % (1 << 8 * size)
    return data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


BINARY: Sequence[Mutation] = (
    truncate, change_bytes, change_bytes, flip_bit, change_head, change_head, exaggerate, exaggerate, double, remove,
    change_integer, change_integer, change_integer,
)  # fmt: skip
TEXT: Sequence[Mutation] = (
    truncate, change_bytes, swap_words, swap_words, swap_words, double, remove, nest, change_number, change_number,
    change_number, move_line,
)  # fmt: skip
