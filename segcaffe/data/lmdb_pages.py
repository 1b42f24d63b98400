"""Reading an LMDB file page by page: the library ends the process at a damaged page, and opens a file only once.

A file is read as its last transaction left it, whoever else has it open, this process included.

The layout is that of data version 1 on 64-bit little-endian machines: two meta pages, of which the one with the higher
transaction number counts; from its root branch pages lead to leaf pages, which hold keys and values in order. A value
that does not fit lies in overflow pages of its own.
"""

from __future__ import annotations

import functools
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segcaffe.files.regular import opened, opened_inside
from segcaffe.files.there import is_dir

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER = struct.Struct("<QHHHH")
"""Number of the page, padding, kind, and two numbers: the ends of the free space, or how many pages a value has."""
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
        meta, seen, previous = self.meta, 0, b""
        reached = bytearray(min(meta.last + 1, len(self.content) // meta.page_size))
        pending = [(meta.root, 1)] if meta.root != _NO_PAGE else []
        in_order = not meta.flags & (_REVERSED | _NUMBERS)
        while pending:
            number, depth = pending.pop()
            kind, begin, offsets = self._nodes(number, reached)
            if kind == _BRANCH and depth < meta.depth:
                pending += [(_child(self.content, begin + offset), depth + 1) for offset in reversed(offsets)]
                continue
            if kind != _LEAF or depth != meta.depth:
                raise ValueError(f"page {number} is not the branch or the leaf that it should be")
            if seen < skip:
                seen, offsets = seen + len(offsets), offsets[skip - seen :]
            else:
                seen += len(offsets)
            end = begin + meta.page_size
            items = [self._item(begin + offset, end, reached) for offset in offsets]
            for key, _ in items if in_order else ():
                if key <= previous:
                    raise ValueError(f"the keys of page {number} do not rise")
                previous = key
            if items:
                yield items
        if seen != self.count:
            raise ValueError(f"it says that it has {self.count} items, and has {seen}")

    def _nodes(self, number: int, reached: bytearray) -> tuple[int, int, tuple[int, ...]]:
        """The kind of a page, its first byte in the file, and where in it its items or children lie."""
        size = self.meta.page_size
        begin, kind, lower, upper = self._head(number, reached)
        reached[number] = 1
        if not _HEADER.size + 2 <= lower <= upper <= size:
            raise ValueError(f"page {number} is damaged")
        offsets = _slots(lower)(self.content, begin + _HEADER.size)
        if min(offsets) < upper or max(offsets) + _NODE.size > size:
            raise ValueError(f"page {number} is damaged")
        return kind, begin, offsets

    def _head(self, number: int, reached: bytearray) -> tuple[int, int, int, int]:
        """First byte and kind of a page, which must not have been reached before, and the two numbers of its head."""
        if number >= len(reached):
            raise ValueError(self._behind(number))
        begin = number * self.meta.page_size
        own, _, flags, lower, upper = _HEADER.unpack_from(self.content, begin)
        if own != number:
            raise ValueError(f"page {number} is not what it should be")
        if reached[number]:
            raise ValueError(f"page {number} belongs to two places of the tree")
        return begin, flags & ~_DIRTY, lower, upper

    def _item(self, place: int, end: int, reached: bytearray) -> Item:
        """An item of a leaf that ends at ``end``; key and value must lie in it, or the value in pages of its own."""
        content = self.content
        low, high, flags, key_size = _NODE.unpack_from(content, place)
        length, key = low | high << 16, place + _NODE.size
        start = key + key_size
        if flags not in (0, _BIG) or start + (8 if flags else length) > end:
            page = (end - 1) // self.meta.page_size
            raise ValueError(f"page {page} holds an item that lies outside, or is of another kind")
        if flags:
            first = int.from_bytes(content[start : start + 8], "little")
            return bytes(content[key:start]), self._overflow(first, length, reached)
        return bytes(content[key:start]), content[start : start + length]

    def _overflow(self, number: int, length: int, reached: bytearray) -> memoryview:
        """A value in pages of its own, of which the first says how many they are."""
        begin, kind, low, high = self._head(number, reached)
        pages = low | high << 16
        if kind != _OVERFLOW or pages * self.meta.page_size < _HEADER.size + length:
            raise ValueError(f"page {number} does not begin the value of {length} bytes that should be there")
        end = number + pages
        if end > len(reached):
            raise ValueError(self._behind(end - 1))
        if reached.find(1, number, end) >= 0:
            raise ValueError(f"page {number} and those behind it belong to two places of the tree")
        reached[number:end] = b"\1" * pages
        start = begin + _HEADER.size
        return self.content[start : start + length]

    def _behind(self, number: int) -> str:
        """Why a page cannot be there."""
        size = len(self.content)
        if (number + 1) * self.meta.page_size > size:
            return f"the file is cut off: it has {size} bytes, and page {number} would end behind them"
        return f"page {number} lies behind the last page in use, which is {self.meta.last}"


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


@functools.cache
def _slots(lower: int) -> Callable[[memoryview, int], tuple[int, ...]]:
    """What reads the places of the items of a page whose free space begins at byte ``lower``."""
    return struct.Struct(f"<{(lower - _HEADER.size) // 2}H").unpack_from


def _child(content: memoryview, place: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(content, place)
    return int(low | high << 16 | highest << 32)
