"""Decompression of Snappy blocks, as LevelDB writes them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.varint import read_varint

Bytes = NDArray[np.uint8]


def decompress(block: bytes) -> bytes:
    """The bytes a Snappy block (its length first, no framing) stands for; ValueError if it is damaged."""
    length, start = read_varint(block, 0)
    if length > 64 * len(block):
        # A copy of 64 bytes takes 2 bytes or more: this bounds what a damaged length makes us allocate.
        raise ValueError("the compressed data is damaged")
    out = np.empty(length, np.uint8)
    if not _compiled()(np.frombuffer(block, np.uint8), start, out):
        raise ValueError("the compressed data is damaged")
    return out.tobytes()


@functools.cache
def _compiled() -> Callable[[Bytes, int, Bytes], bool]:
    from segcaffe.jit.compiled import njit

    compiled: Callable[[Bytes, int, Bytes], bool] = njit(nogil=True, cache=True)(_expand)
    return compiled


def _expand(block: Bytes, at: int, out: Bytes) -> bool:
    """Fill ``out`` from the elements that start at ``at``; whether that came out even."""
    done = 0
    while at < block.size:
        tag = int(block[at])
        kind = tag & 3
        length = (tag >> 2) + 1
        # Bytes after the tag: of a literal's long length, or of a copy's offset (1, 2 or 4).
        extra = max(0, length - 60) if kind == 0 else (1 << kind) >> 1
        at += 1
        if at + extra > block.size:
            return False
        number = 0
        for i in range(extra):
            number |= int(block[at + i]) << (8 * i)
        at += extra
        if kind == 0:
            length = number + 1 if extra else length
            if at + length > block.size or done + length > out.size:
                return False
            out[done : done + length] = block[at : at + length]
            at += length
        else:
            if kind == 1:
                number |= (tag >> 5) << 8
                length = ((tag >> 2) & 7) + 4
            if number == 0 or number > done or done + length > out.size:
                return False
            # Byte by byte: a copy may overlap what it writes.
            for i in range(length):
                out[done + i] = out[done + i - number]
        done += length
    return done == out.size
