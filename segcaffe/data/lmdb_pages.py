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
from typing import NamedTuple

from segcaffe.files.regular import opened, opened_inside
from segcaffe.files.there import is_dir

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER = struct.Struct("<QHHHH")
_META = struct.Struct("<II16xI48xHH24xQQQQ")
"""Magic, version, size of a page; flags, depth, number of items and root page of the main tree; number of the last page
and of the transaction."""
_NODE = struct.Struct("<HHHH")
_PAGE_SIZES = [1 << n for n in range(9, 17)]
_REVERSED, _DUPLICATES, _NUMBERS = 0x02, 0x04, 0x08
_BRANCH, _LEAF, _OVERFLOW, _DIRTY = 0x01, 0x02, 0x04, 0x10
_BIG = 0x01
_NO_PAGE = (1 << 64) - 1
_DEEPEST = 32

Item = tuple[bytes, memoryview]
"""Key and value; the value lies in the mapped file."""


class Meta(NamedTuple):
    """What an LMDB file says of its only tree, as a transaction left it.

    Attributes
    ----------
    transaction:
        Number of the transaction.
    page_size:
        Bytes of a page.
    root, last:
        Numbers of the root page, and of the last one in use.
    depth:
        Pages from the root to a leaf, both counted.
    items:
        Number of items.
    flags:
        How keys are ordered, if not by their bytes.
    """

    transaction: int
    page_size: int
    root: int
    last: int
    depth: int
    items: int
    flags: int


@dataclass(frozen=True)
class Tree:
    """An LMDB file, mapped, and what it says of its tree, which is believed only as far as the pages agree."""

    content: memoryview
    meta: Meta

    @property
    def count(self) -> int:
        """Number of items."""
        return self.meta.items

    def leaves(self, skip: int = 0) -> Iterator[list[Item]]:
        """The items but the first ``skip``, leaf page by leaf page, in the order of the keys.

        Each page is checked just before it is given; values that are skipped are not looked at.

        Raises ValueError while iterating, where a page is damaged, is reached a second time, or lies elsewhere than the
        file says, where keys do not rise, and at the end, where items are lacking. The text says where.
        """
        pages = min(self.meta.last + 1, len(self.content) // self.meta.page_size)
        pending = [(self.meta.root, 1)] if self.meta.root != _NO_PAGE else []
        seen, previous, reached = 0, b"", bytearray(pages)
        while pending:
            number, depth = pending.pop()
            page = self._page(number)
            _reach(reached, number, 1)
            flags = _HEADER.unpack_from(page)[2] & ~_DIRTY
            offsets = _offsets(page, number)
            if flags == _BRANCH and depth < self.meta.depth:
                pending += [(_child(page, offset), depth + 1) for offset in reversed(offsets)]
            elif flags != _LEAF or depth != self.meta.depth:
                raise ValueError(f"page {number} is not the branch or the leaf that it should be")
            else:
                first = max(0, skip - seen)
                seen += len(offsets)
                items = [self._item(page, number, offset, reached) for offset in offsets[first:]]
                previous = self._check_order(items, previous, number)
                if items:
                    yield items
        if seen != self.count:
            raise ValueError(f"it says that it has {self.count} items, and has {seen}")

    def _page(self, number: int) -> memoryview:
        end = (number + 1) * self.meta.page_size
        if end > len(self.content):
            raise ValueError(
                f"the file is cut off: it has {len(self.content)} bytes, and page {number} would end behind them"
            )
        page = self.content[end - self.meta.page_size : end]
        if _HEADER.unpack_from(page)[0] != number:
            raise ValueError(f"page {number} is not what it should be")
        return page

    def _item(self, page: memoryview, number: int, offset: int, reached: bytearray) -> Item:
        """An item of a leaf; key and value must lie inside the page, or the value in pages of its own."""
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        key, length = offset + _NODE.size, low | high << 16
        start = key + key_size
        if flags not in (0, _BIG) or start + (8 if flags == _BIG else length) > len(page):
            raise ValueError(f"page {number} holds an item that lies outside, or is of another kind")
        value = page[start : start + length]
        if flags == _BIG:
            value = self._overflow(int.from_bytes(page[start : start + 8], "little"), length, reached)
        return bytes(page[key:start]), value

    def _overflow(self, number: int, length: int, reached: bytearray) -> memoryview:
        """A value in pages of its own, of which the first says how many they are."""
        header = self._page(number)
        pages = int.from_bytes(header[12:16], "little")
        needed = -(-(_HEADER.size + length) // self.meta.page_size)
        if _HEADER.unpack_from(header)[2] & ~_DIRTY != _OVERFLOW or pages < needed:
            raise ValueError(f"page {number} does not begin the value of {length} bytes that should be there")
        _reach(reached, number, pages)
        start = number * self.meta.page_size + _HEADER.size
        return self.content[start : start + length]

    def _check_order(self, items: list[Item], previous: bytes, number: int) -> bytes:
        """The last key; ValueError unless keys rise."""
        for key, _ in items if not self.meta.flags & (_REVERSED | _NUMBERS) else ():
            if key <= previous:
                raise ValueError(f"the keys of page {number} do not rise")
            previous = key
        return previous


def read_tree(path: Path) -> Tree:
    """The tree of a database's folder or file.

    Raises
    ------
    OSError
        The file can't be read.
    ValueError
        It is no LMDB file, or of a layout that is not known here. The text says so.
    """
    with opened_inside(path, path / "data.mdb") if is_dir(path) else opened(path) as file:
        # An empty file can't be mapped.
        size = file.seek(0, 2)
        content = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    first = _meta(content, 0)
    if first is None:
        raise ValueError("it is no LMDB file of data version 1, written on 64 bits and without duplicate keys")
    meta = max(first, _meta(content, first.page_size) or first)
    if meta.items > len(content) // _NODE.size or meta.depth > _DEEPEST:
        raise ValueError(f"it cannot have {meta.items} items in {meta.depth} levels of pages")
    return Tree(content, meta)


def _meta(content: memoryview, at: int) -> Meta | None:
    if at + _HEADER.size + _META.size > len(content):
        return None
    magic, version, page_size, flags, depth, *rest = _META.unpack_from(content, at + _HEADER.size)
    count, root, last, transaction = rest
    if (magic, version) != (_MAGIC, _VERSION) or flags & _DUPLICATES or page_size not in _PAGE_SIZES:
        return None
    return Meta(transaction, page_size, root, last, depth, count, flags)


def _reach(reached: bytearray, number: int, pages: int) -> None:
    """Note that pages have been reached; ValueError where they are not there, or have been reached before."""
    end = number + pages
    if end > len(reached):
        raise ValueError(f"page {end - 1} lies behind the end of the file, or behind the last page in use")
    if reached.find(1, number, end) >= 0:
        raise ValueError(f"page {number} belongs to two places of the tree")
    reached[number:end] = bytes((1,)) * pages


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
