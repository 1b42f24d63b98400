"""Reading an LMDB file page by page: the library ends the process at a damaged page, and opens a file only once.

A file is read as its last transaction left it, whoever else has it open, this process included.

The layout is that of data version 1 on 64-bit little-endian machines: two meta pages, of which the one with the higher
transaction number counts; from its root branch pages lead to leaf pages, which hold keys and values in order. A value
that does not fit lies in overflow pages of its own.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
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


Item = tuple[bytes, memoryview]
"""Key and value; the value lies in the mapped file."""


@dataclass(frozen=True)
class Tree:
    """An LMDB file's only tree, as the last transaction left it.

    Attributes
    ----------
    file:
        The database's file.
    page_size:
        Bytes of a page.
    root:
        Number of the root page.
    count:
        Number of items.
    """

    file: Path
    page_size: int
    root: int
    count: int

    def leaves(self) -> Iterator[list[Item]]:
        """The items of each leaf page, in the order of the keys; each page is checked just before it is given.

        Raises
        ------
        OSError
            The file can't be read.
        ValueError
            While iterating: a page is damaged, or the file is too short. The text says where.
        """
        return _leaves(self)


def read_tree(path: Path) -> Tree | None:
    """The tree of a database's folder or file; None for files of a layout that is not known here.

    Raises
    ------
    OSError
        The file can't be read.
    """
    file = path / "data.mdb" if path.is_dir() else path
    with file.open("rb") as stream:
        meta = _read_meta(stream)
    return None if meta is None else Tree(file, *meta)


def _read_meta(stream: BinaryIO) -> tuple[int, int, int] | None:
    """Size of a page, number of the root page, number of items."""
    found = _meta_at(stream, 0)
    if found is None:
        return None
    page_size, *newest = found
    other = _meta_at(stream, page_size)
    if other is not None and other[3] > found[3]:
        newest = list(other[1:])
    return page_size, newest[0], newest[1]


def _meta_at(stream: BinaryIO, at: int) -> tuple[int, int, int, int] | None:
    """Size of a page, number of the root page, number of items, number of the transaction."""
    stream.seek(at + _HEADER.size)
    content = stream.read(_META.size)
    if len(content) < _META.size:
        return None
    magic, version, _, _, free, _, flags, *_, count, root, _, transaction = _META.unpack(content)
    page_size = int.from_bytes(free[:4], "little")
    if (magic, version, flags) != (_MAGIC, _VERSION, 0) or page_size not in (1 << n for n in range(9, 17)):
        return None
    return page_size, root, count, transaction


def _leaves(tree: Tree) -> Iterator[list[Item]]:
    if tree.root == _NO_PAGE:
        return
    # Without a buffer: pages lie anywhere.
    with tree.file.open("rb", buffering=0) as stream:
        size = stream.seek(0, 2)
        mapped = memoryview(mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ))
        pending = [(tree.root, 0)]
        while pending:
            number, depth = pending.pop()
            page = _read_page(stream, number, tree.page_size, size)
            flags = _HEADER.unpack_from(page)[2] & ~_DIRTY
            offsets = _offsets(page, number)
            if flags == _LEAF:
                yield _items(page, number, offsets, mapped)
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


def _items(page: bytes, number: int, offsets: tuple[int, ...], mapped: memoryview) -> list[Item]:
    """A leaf's items; keys and values must lie inside the page, or the value's own pages inside the file."""
    items = []
    for offset in offsets:
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        key = offset + _NODE.size
        length, start, end = low | high << 16, key + key_size, len(page)
        if flags == _BIG and start + 8 <= end:
            start = int.from_bytes(page[start : start + 8], "little") * len(page) + _HEADER.size
            end = len(mapped)
        elif flags == 0:
            start, end = start + number * len(page), (number + 1) * len(page)
        else:
            length = end
        if start + length > end:
            raise ValueError(
                f"page {number} holds a value that lies outside, or the file is cut off at {len(mapped)} bytes"
            )
        items.append((page[key : key + key_size], mapped[start : start + length]))
    return items
