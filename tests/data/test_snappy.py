from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.data.snappy import decompress
from segcaffe.data.varint import read_varint
from tests.data.leveldb_files import varint


def literal(data: bytes, wide: bool) -> bytes:
    """A literal, its length in the tag, or in bytes behind it."""
    count = len(data) - 1
    if count < 60 and not wide:
        return bytes([count << 2]) + data
    size = 1 if count < 256 else 2
    return bytes([(59 + size) << 2]) + count.to_bytes(size, "little") + data


def copy(offset: int, length: int, kind: int) -> bytes:
    """A copy with an offset of 11, 16 or 32 bits."""
    if kind == 1:
        return bytes([1 | (length - 4) << 2 | (offset >> 8) << 5, offset & 255])
    return bytes([kind | (length - 1) << 2]) + offset.to_bytes(2 if kind == 2 else 4, "little")


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Compressed data made of arbitrary elements, and what it stands for."""
    out, parts = b"", []
    for _ in range(draw(st.integers(0, 6))):
        if out and draw(st.booleans()):
            offset, kind = draw(st.integers(1, len(out))), draw(st.sampled_from([1, 2, 3]))
            length = draw(st.integers(4, 11) if kind == 1 else st.integers(1, 64))
            kind = 2 if kind == 1 and offset > 2047 else kind
            parts.append(copy(offset, length, kind))
            for _ in range(length):
                out += out[-offset : len(out) - offset + 1] if offset > 1 else out[-1:]
        else:
            data = draw(st.binary(min_size=1, max_size=300))
            parts.append(literal(data, draw(st.booleans())))
            out += data
    return varint(len(out)) + b"".join(parts), out


@given(blocks())
@settings(deadline=None)
def test_every_kind_of_element(block: tuple[bytes, bytes]) -> None:
    compressed, expected = block
    assert decompress(compressed) == expected


@given(blocks(), st.data())
@settings(deadline=None)
def test_damage_is_noticed_or_harmless(block: tuple[bytes, bytes], data: st.DataObject) -> None:
    damaged = bytearray(block[0])
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        length = len(decompress(bytes(damaged)))
    except ValueError:
        return
    assert length == read_varint(bytes(damaged), 0)[0]


@pytest.mark.parametrize("block", [b"", b"\xff", b"\x05\x00a", b"\x04\x06\x01\x00", b"\xff\xff\xff\x7f\x00a"])
def test_damaged_blocks(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        decompress(block)


def test_repeated_bytes() -> None:
    assert decompress(varint(41) + literal(b"a", False) + copy(1, 40, 2)) == b"a" * 41
    assert np.frombuffer(decompress(varint(0)), np.uint8).size == 0
