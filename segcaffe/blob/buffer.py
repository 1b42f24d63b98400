"""Memory that exists on the host, on the device, or on both, and knows where its newest values are."""

from __future__ import annotations

import functools
import sys
from typing import Any, Literal

import numpy as np

from segcaffe import device
from segcaffe.device.host_memory import zeros
from segcaffe.threads.recording import tape

Head = Literal["nowhere", "host", "device", "both", "half"]
_changes = 0


def changes() -> int:
    """How often a blob anywhere got another shape or other memory, or a watched buffer was given out."""
    return _changes


def note_change() -> None:
    """Count a change."""
    global _changes
    _changes += 1


class Buffer:
    """``size`` elements of ``dtype``, zero at first, allocated and copied only when it is read.

    Whoever asks for an array may write to it, so asking makes that side the newest; the other side is brought up to
    date when it is asked for. A host array, once given out, stays the same memory for the life of the buffer.

    Attributes
    ----------
    size, dtype:
        Number and type of the elements.
    head:
        Where the newest values are; "half" where they are kept in half precision (see `narrow`).
    watched, lent:
        Whether it is counted how often an array is given out to be written to, which is also a change that `changes`
        counts; and how often it was.
    """

    __slots__ = ("_cleared", "_device", "_half", "_host", "dtype", "head", "lent", "size", "watched")

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.size = size
        self.dtype = dtype
        self.watched, self.lent = False, 0
        self.head: Head = "nowhere"
        self._host: np.ndarray[Any, Any] | None = None
        self._device: Any = None
        self._half: np.ndarray[Any, Any] | None = None
        self._cleared = False

    @classmethod
    def around(cls, array: np.ndarray[Any, Any]) -> Buffer:
        """A buffer whose host side is the given flat, contiguous array."""
        buffer = cls(array.size, array.dtype)
        buffer._host, buffer.head = array, "host"
        return buffer

    def host(self) -> np.ndarray[Any, Any]:
        """The flat host array, up to date; taken to be written to."""
        if self.head == "host" and not self._cleared and self._host is not None:
            # As nearly always; a call less.
            device.note_host_visit()
            array = self._host
        else:
            array = self.read_host()
            self.head = "host"
        if self.watched:
            self._lend()
        return array

    def _lend(self) -> None:
        # A layer that is being recorded only reads its parameters.
        if tape() is None:
            self.lent += 1
            note_change()

    def take_over(self, values: np.ndarray[Any, Any]) -> None:
        """Hold flat values that nobody else has, at the front: in their own array where it can be the host's.

        It cannot where somebody has the host array that there is, or where size or type are others.
        """
        own = values.flags.owndata and values.flags.writeable and values.flags.c_contiguous
        if not own or (values.size, values.dtype) != (self.size, self.dtype) or self.is_held():
            self.host()[: values.size] = values
            return
        self._host, self._half, self._cleared, self.head = values, None, False, "host"
        note_change()
        if self.watched:
            self._lend()

    def is_held(self) -> bool:
        """Whether someone has the host array, or a view of it, and may write to it unseen.

        Every view of an array, however made, holds a reference to it.
        """
        return self._host is not None and sys.getrefcount(self._host) > _references_of_nobody()

    def read_host(self) -> np.ndarray[Any, Any]:
        """The flat host array, up to date, for reading only: the device's copy stays valid."""
        device.note_host_visit()
        if self._half is not None:
            self._host, self._half, self.head = self._half.astype(self.dtype), None, "host"
            note_change()
        if self._host is None:
            self._host = zeros(self.size, self.dtype)
        if self._cleared:
            self._cleared = False
            self._host[...] = 0
            self.head = "host"
        if self.head == "device":
            self._host[...] = device.to_host(self._device)
            self.head = "both"
        elif self.head == "nowhere":
            self.head = "host"
        return self._host

    def narrow(self) -> None:
        """Keep float32 values rounded to half precision until somebody asks for the array.

        Nothing happens where somebody has the array, where the device has the values, or where one is too large.
        """
        if self.dtype != np.float32 or self._half is not None or self._device is not None or self.is_held():
            return
        values = self.read_host()
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(np.isinf(half), np.isinf(values)):
            self._half, self._host, self.head = half, None, "half"
            note_change()

    def half(self) -> np.ndarray[Any, Any] | None:
        """The flat values in half precision where they are kept so, for reading on the CPU; otherwise None."""
        return self._half if device.get_mode() == "CPU" else None

    def seen(self) -> np.ndarray[Any, Any] | None:
        """The flat host array for a look at it, if it is up to date as it stands; None where it would take work."""
        return self._host if self.head in ("host", "both") and not self._cleared else None

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for the elements yet, so that all are zero."""
        return self.head == "nowhere"

    def clear(self) -> None:
        """Make all elements zero; on the host they are written only when they are read, not before a `take`."""
        if device.get_mode() == "CPU":
            self._cleared = True
        else:
            self.array()[...] = 0

    def take(self) -> tuple[Any, bool]:
        """As `array`, and whether what it holds is out of date because all elements should be zero."""
        cleared, self._cleared = self._cleared, False
        return self.array(), cleared

    def array(self) -> Any:
        """The flat array on the current mode's device, up to date; taken to be written to."""
        if device.get_mode() == "CPU":
            return self.host()
        if self._cleared or self._half is not None:
            self.read_host()
        if self._device is None:
            self._device = device.xp().zeros(self.size, self.dtype)
        if self.head == "host":
            self._device[...] = device.to_device(self._host)
        self.head = "device"
        if self.watched:
            self._lend()
        return self._device

    def release(self) -> None:
        """Give the memory back; the next use begins with zeros in new memory."""
        if self._host is not None:
            note_change()
        self._host = self._device = self._half = None
        self.head = "nowhere"
        self._cleared = False

    def place(self) -> tuple[int, int]:
        """Which host array the elements are in, where that is the newest side, and where in it they begin."""
        return id(self._host) if self.head == "host" else 0, 0

    @property
    def allocated(self) -> int:
        """Bytes held now, host and device together."""
        sides = (self._host is not None) + (self._device is not None)
        return sides * self.size * self.dtype.itemsize + (0 if self._half is None else self._half.nbytes)

    def place_in(self, other: Buffer) -> int | None:
        """Where in ``other`` this memory begins, in elements; None where it is not part of it."""
        return 0 if other is self else None


@functools.cache
def _references_of_nobody() -> int:
    """How many references Python counts of a host array that nobody else has: the buffer's and the count's own."""
    buffer = Buffer(1, np.dtype(np.float32))
    buffer.read_host()
    return sys.getrefcount(buffer._host)


class BufferPart(Buffer):
    """Part of another buffer: ``size`` elements from ``start`` on. Its newest side is the whole's."""

    __slots__ = ("start", "whole")

    def __init__(self, whole: Buffer, start: int, size: int) -> None:
        super().__init__(size, whole.dtype)
        self.whole, self.start = whole, start

    def host(self) -> np.ndarray[Any, Any]:
        """The part on the host, up to date; taken to be written to."""
        part: np.ndarray[Any, Any] = self._zeroed(self.whole.host()[self.start : self.start + self.size])
        return part

    def read_host(self) -> np.ndarray[Any, Any]:
        """The part on the host, up to date, for reading only."""
        part: np.ndarray[Any, Any] = self._zeroed(self.whole.read_host()[self.start : self.start + self.size])
        return part

    def seen(self) -> np.ndarray[Any, Any] | None:
        """The part on the host for a look at it; None where that would take work."""
        whole = self.whole.seen()
        return None if whole is None or self._cleared else whole[self.start : self.start + self.size]

    def array(self) -> Any:
        """The part on the current mode's device, up to date; taken to be written to."""
        return self._zeroed(self.whole.array()[self.start : self.start + self.size])

    def _zeroed(self, part: Any) -> Any:
        """The part, with the zeros that `clear` has put off."""
        if self._cleared:
            self._cleared = False
            part[...] = 0
        return part

    def take_over(self, values: np.ndarray[Any, Any]) -> None:
        """Write flat values at the front of the part."""
        self.host()[: values.size] = values

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for the whole's elements yet."""
        return self.whole.untouched

    def place(self) -> tuple[int, int]:
        """As of the whole."""
        return self.whole.place()[0], self.start

    def release(self) -> None:
        """Nothing to do: the memory is the whole's."""

    def place_in(self, other: Buffer) -> int | None:
        """Where in ``other`` this memory begins, in elements; None where it is not part of it."""
        if isinstance(other, BufferPart) and other.whole is self.whole:
            start = self.start - other.start
            return start if start >= 0 and start + self.size <= other.size else None
        return self.start if other is self.whole else super().place_in(other)
