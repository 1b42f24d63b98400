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

from segcaffe.files.regular import opened, opened_inside

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER = struct.Struct("<QHHHH")
_META = struct.Struct("<II16xI48xH26xQQ8xQ")
"""Magic, version, size of a page; flags, number of items and root page of the main tree; number of the transaction."""
_NODE = struct.Struct("<HHHH")
_PAGE_SIZES = [1 << n for n in range(9, 17)]
_DUPLICATES = 0x04
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
    content:
        The file, mapped.
    page_size:
        Bytes of a page.
    root:
        Number of the root page.
    count:
        Number of items.
    """

    content: memoryview
    page_size: int
    root: int
    count: int

    def leaves(self) -> Iterator[list[Item]]:
        """The items of each leaf page, in the order of the keys; each page is checked just before it is given.

        Raises ValueError while iterating, where a page is damaged or the file is too short. The text says where.
        """
        pending = [(self.root, 0)] if self.root != _NO_PAGE else []
        while pending:
            number, depth = pending.pop()
            page = self._page(number)
            flags = _HEADER.unpack_from(page)[2] & ~_DIRTY
            offsets = _offsets(page, number)
            if flags == _LEAF:
                yield [self._item(page, number, offset) for offset in offsets]
            elif flags == _BRANCH and depth < _DEEPEST:
                pending += [(_child(page, offset), depth + 1) for offset in reversed(offsets)]
            else:
                raise ValueError(f"page {number} is neither a branch nor a leaf")

    def _page(self, number: int) -> memoryview:
        end = (number + 1) * self.page_size
        if end > len(self.content):
            raise ValueError(
                f"the file is cut off: it has {len(self.content)} bytes, and page {number} would end behind them"
            )
        page = self.content[end - self.page_size : end]
        if _HEADER.unpack_from(page)[0] != number:
            raise ValueError(f"page {number} is not what it should be")
        return page

    def _item(self, page: memoryview, number: int, offset: int) -> Item:
        """An item of a leaf; key and value must lie inside the page, or the value's own pages inside the file."""
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        key, length = offset + _NODE.size, low | high << 16
        start, holder = key + key_size, page
        inside = start + (8 if flags == _BIG else length) <= len(page)
        if flags == _BIG:
            start = int.from_bytes(page[start : start + 8], "little") * self.page_size + _HEADER.size
            holder = self.content
        if flags not in (0, _BIG) or not inside or start + length > len(holder):
            raise ValueError(
                f"page {number} holds a value that lies outside, or the file is cut off at {len(self.content)} bytes"
            )
        return bytes(page[key : key + key_size]), holder[start : start + length]


def read_tree(path: Path) -> Tree:
    """The tree of a database's folder or file.

    Raises
    ------
    OSError
        The file can't be read.
    ValueError
        It is no LMDB file, or of a layout that is not known here. The text says so.
    """
    with opened_inside(path, path / "data.mdb") if path.is_dir() else opened(path) as file:
        # An empty file can't be mapped.
        size = file.seek(0, 2)
        content = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    first = _meta(content, 0)
    if first is None:
        raise ValueError("it is no LMDB file of data version 1, written on 64 bits and without duplicate keys")
    _, page_size, root, count = max(first, _meta(content, first[1]) or first)
    return Tree(content, page_size, root, count)


def _meta(content: memoryview, at: int) -> tuple[int, int, int, int] | None:
    """Number of the transaction, size of a page, number of the root page, number of items."""
    if at + _HEADER.size + _META.size > len(content):
        return None
    magic, version, page_size, flags, count, root, transaction = _META.unpack_from(content, at + _HEADER.size)
    if (magic, version) != (_MAGIC, _VERSION) or flags & _DUPLICATES or page_size not in _PAGE_SIZES:
        return None
    return transaction, page_size, root, count


def _offsets(page: memoryview, number: int) -> tuple[int, ...]:
    """Where the page's nodes lie."""
    lower, upper = _HEADER.unpack_from(page)[3:]
    if not _HEADER.size < lower <= upper <= len(page):
        raise ValueError(f"page {number} is damaged")
    offsets = struct.unpack_from(f"<{(lower - _HEADER.size) // 2}H", page, _HEADER.size)
    if not offsets or min(offsets) < upper or max(offsets) + _NODE.size > len(page):
        raise ValueError(f"page {number} is damaged")
    return offsets


def _child(page: memoryview, offset: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(page, offset)
    return int(low | high << 16 | highest << 32)
