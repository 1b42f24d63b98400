"""Damage to files: cut short, bytes changed, lengths exaggerated, pieces moved, doubled and mixed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

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

Mutation = Callable[[random.Random, bytes], bytes]


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


BINARY: Sequence[Mutation] = (
    truncate, change_bytes, change_bytes, flip_bit, change_head, change_head, exaggerate, exaggerate, double, remove,
)  # fmt: skip
TEXT: Sequence[Mutation] = (truncate, change_bytes, swap_words, swap_words, swap_words, double, remove, nest)


def mutate(kind: str, whole: Sequence[bytes], number: int) -> bytes:
    """Return the damaged file with this number: always the same for the same whole files."""
    rng = random.Random(f"{kind}/{number}")
    data = rng.choice(whole)
    if rng.random() < 0.1:
        other = rng.choice(whole)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    mutations = TEXT if kind.endswith("prototxt") else BINARY
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(mutations)(rng, data)
    return data
