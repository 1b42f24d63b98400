"""Checking an LMDB file page by page, ahead of the library, which ends the process at a damaged page.

The layout is that of data version 1 on 64-bit little-endian machines: two meta pages, of which the one with the higher
transaction number counts; from its root branch pages lead to leaf pages, which hold keys and values in order. A value
that does not fit lies in overflow pages of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_META = struct.Struct("<IIQQ 48s IHHQQQQQ QQ")
_HEADER = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _DIRTY = 0x01, 0x02, 0x10
_BIG = 0x01
_NO_PAGE = (1 << 64) - 1
_DEEPEST = 32


def leaf_sizes(path: Path) -> Iterator[int] | None:
    """How many keys each leaf page holds, in the order of the keys; each page is checked just before it is given.

    Parameters
    ----------
    path:
        The folder of a database, or its file.

    Returns
    -------
    iterator
        None for files of a layout that is not known here.

    Raises
    ------
    OSError
        The file can't be read.
    ValueError
        While iterating: a page is damaged, or the file is too short. The text says where.
    """
    file = path / "data.mdb" if path.is_dir() else path
    with file.open("rb") as stream:
        meta = _read_meta(stream)
    return None if meta is None else _leaves(file, *meta)


def _read_meta(stream: BinaryIO) -> tuple[int, int] | None:
    """Size of a page and number of the root page."""
    found = _meta_at(stream, 0)
    if found is None:
        return None
    page_size, root, transaction = found
    other = _meta_at(stream, page_size)
    if other is not None and other[2] > transaction:
        root = other[1]
    return page_size, root


def _meta_at(stream: BinaryIO, at: int) -> tuple[int, int, int] | None:
    stream.seek(at + _HEADER.size)
    content = stream.read(_META.size)
    if len(content) < _META.size:
        return None
    magic, version, _, _, free, _, flags, *_, root, _, transaction = _META.unpack(content)
    page_size = int.from_bytes(free[:4], "little")
    if (magic, version, flags) != (_MAGIC, _VERSION, 0) or page_size not in (1 << n for n in range(9, 17)):
        return None
    return page_size, root, transaction


def _leaves(path: Path, page_size: int, root: int) -> Iterator[int]:
    if root == _NO_PAGE:
        return
    # Without a buffer: pages lie anywhere.
    with path.open("rb", buffering=0) as stream:
        size = stream.seek(0, 2)
        pending = [(root, 0)]
        while pending:
            number, depth = pending.pop()
            page = _read_page(stream, number, page_size, size)
            flags = _HEADER.unpack_from(page)[2] & ~_DIRTY
            offsets = _offsets(page, number)
            if flags == _LEAF:
                _check_leaf(page, number, offsets, size)
                yield len(offsets)
            elif flags == _BRANCH and depth < _DEEPEST:
                pending += [(_child(page, offset), depth + 1) for offset in reversed(offsets)]
            else:
                raise ValueError(f"page {number} is neither a branch nor a leaf")


def _read_page(stream: BinaryIO, number: int, page_size: int, size: int) -> bytes:
    if (number + 1) * page_size > size:
        raise ValueError(f"the file is cut off: it has {size} bytes, and page {number} would end behind them")
    stream.seek(number * page_size)
    page = stream.read(page_size)
    if len(page) < page_size or _HEADER.unpack_from(page)[0] != number:
        raise ValueError(f"page {number} is not what it should be")
    return page


def _offsets(page: bytes, number: int) -> tuple[int, ...]:
    """Where the page's nodes lie."""
    lower, upper = _HEADER.unpack_from(page)[3:]
    count = (lower - _HEADER.size) // 2
    if not _HEADER.size < lower <= upper <= len(page):
        raise ValueError(f"page {number} is damaged")
    offsets = struct.unpack_from(f"<{count}H", page, _HEADER.size)
    if min(offsets) < upper or max(offsets) + _NODE.size > len(page):
        raise ValueError(f"page {number} is damaged")
    return offsets


def _child(page: bytes, offset: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(page, offset)
    return int(low | high << 16 | highest << 32)


def _check_leaf(page: bytes, number: int, offsets: tuple[int, ...], size: int) -> None:
    """Keys and values must lie inside the page, or the value's own pages inside the file."""
    for offset in offsets:
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        length, start = low | high << 16, offset + _NODE.size + key_size
        if flags == _BIG and start + 8 <= len(page):
            inside = int.from_bytes(page[start : start + 8], "little") * len(page) + _HEADER.size + length <= size
        else:
            inside = flags == 0 and start + length <= len(page)
        if not inside:
            raise ValueError(f"page {number} holds a value that lies outside, or the file is cut off at {size} bytes")
