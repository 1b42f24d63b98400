"""How much is made of a file: no more than its size allows, whatever the numbers in it say.

Shapes, counts, indices and the lengths of what is packed come from the file, perhaps a stranger's or a damaged one.
Whoever reads it takes what is about to be made from a `Budget` first. That is the size of the file times a factor for
its format, at least 64 MiB, and what the user has allowed with `set_max_bytes` (``--max-bytes``).
"""

from __future__ import annotations

from segcaffe.errors import LimitError, SegcaffeError
from segcaffe.text.digits import whole_number

AS_STORED = 8
"""Factor of what stores each value: bytes become numbers of four, and shapes come on top."""
PACKED = 200
"""Factor of what may be compressed: archives, HDF5, images. Label maps are packed hundredfold, zeros thousandfold."""
FREE = 1 << 26
"""Bytes that any file may unfold to: even a picture of one colour, or values that are all zero."""

_UNITS = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
_allowed = 0


def set_max_bytes(count: int) -> None:
    """Let every file unfold to that many bytes at least, where its size would not allow as much; 0 takes it back."""
    global _allowed
    if count < 0:
        raise SegcaffeError(f"set_max_bytes takes a number of bytes, 0 or more. Received: {count}.")
    _allowed = count


def max_bytes() -> int:
    """What `set_max_bytes` was given last; 0 at first."""
    return _allowed


class Budget:
    """The bytes that may still be made of a file.

    Parameters
    ----------
    where:
        How the error begins: what is read, and the file.
    size:
        Bytes of the file.
    factor:
        `AS_STORED` or `PACKED`.
    """

    def __init__(self, where: str, size: int, factor: int = PACKED) -> None:
        self.where, self.size, self.factor = where, size, factor
        self.taken = 0

    @property
    def limit(self) -> int:
        """Bytes in all."""
        return max(FREE, self.size * self.factor, _allowed)

    def take(self, count: int, what: str) -> None:
        """Take the bytes of ``what``, which is made next. Raises LimitError where they are more than there are left."""
        self.taken += count
        if self.taken > self.limit:
            wanted = f"{-(-self.taken // 10**6)}M"
            raise LimitError(
                f"{self.where}: {what} would bring what is made of the file to {amount(self.taken)}. Its size is "
                f"{amount(self.size)}, of which {amount(self.limit)} may become, {self.factor} times as much and at "
                f"least {amount(FREE)}. If you trust the file, allow more: --max-bytes {wanted}, in Python "
                f"segcaffe.set_max_bytes({self.taken})."
            )


def amount(count: int) -> str:
    """A number of bytes for people, ``4.3 GB``."""
    for unit, factor in _UNITS:
        if count >= factor:
            return f"{count / factor:.3g} {unit}B"
    return f"{count} bytes"


def parse_amount(text: str) -> int | None:
    """The number of bytes that digits stand for, with k, M, G or T behind them or without; None for other texts."""
    factor = next((factor for unit, factor in _UNITS if text[-1:].lower() == unit.lower()), 1)
    number = whole_number(text[:-1] if factor > 1 else text)
    return None if number is None else number * factor
