"""The blob: an N-dimensional array and its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from segcaffe.blob.buffer import Buffer, note_change
from segcaffe.blob.value_range import value_range
from segcaffe.device.host_memory import HostMemoryError, in_units
from segcaffe.errors import ShapeError

MAX_AXES = 32
_MOST_BYTES = (1 << 63) - 1
"""Of an array; NumPy counts an extent of 0 as 1."""


class Blob:
    """Values (``data``) and their gradient (``diff``), both of one shape, allocated on first use.

    ``data`` and ``diff`` are NumPy arrays on the host, as in pycaffe: write into them in place. ``array`` and ``grad``
    are the same values on the current mode's device, as layers use them. Several blobs may share memory.

    Parameters
    ----------
    shape:
        Any number of axes up to 32, each 0 or more; ``()`` is a scalar.
    dtype:
        float32 (default) or float64.
    """

    __slots__ = ("_data", "_diff", "_shape", "dtype")

    def __init__(self, shape: Sequence[int] = (0,), dtype: Any = np.float32) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._shape = self._checked(tuple(shape))
        count = self.count
        self._data, self._diff = Buffer(count, self.dtype), Buffer(count, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each axis."""
        return self._shape

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self._shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the values take."""
        return self.count * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._shape)

    @property
    def num(self) -> int:
        """Extent of axis 0 in Caffe's old 4-axis view (1 where there is no such axis)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Extent of axis 1 in Caffe's old 4-axis view."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Extent of axis 2 in Caffe's old 4-axis view."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Extent of axis 3 in Caffe's old 4-axis view."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Change the shape. Memory is kept while it is large enough; new elements are zero, old ones unspecified.

        HostMemoryError where no machine could have the room, before anything has changed.
        """
        before, self._shape = self._shape, self._checked(shape)
        if self._shape != before:
            note_change()
        count = self.count
        if count > self._data.size:
            self._data = Buffer(count, self.dtype)
        if count > self._diff.size:
            self._diff = Buffer(count, self.dtype)

    def _checked(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in Python's numbers, if a blob can have it."""
        if len(shape) > MAX_AXES or [extent for extent in shape if extent < 0 or extent % 1]:
            raise ShapeError(
                f"A blob has at most {MAX_AXES} axes, whole numbers and none negative. Received: shape {shape}."
            )
        whole = tuple(map(int, shape))
        size = math.prod([extent or 1 for extent in whole]) * self.dtype.itemsize
        if size > _MOST_BYTES:
            raise HostMemoryError(f"a blob of shape {shape} would take {in_units(size)}")
        return whole

    def _seen(self, flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What a buffer has, in the blob's shape."""
        count = math.prod(self._shape)
        return (flat if flat.size == count else flat[:count]).reshape(self._shape)

    def reshape_like(self, other: Blob) -> None:
        """Take the shape of another blob."""
        self.reshape(*other.shape)

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The values on the host, up to date; writing into them is seen by the next use."""
        return self._seen(self._data.host())

    @data.setter
    def data(self, values: Any) -> None:
        self.data[...] = values

    def half(self) -> np.ndarray[Any, Any] | None:
        """The values in half precision where they are kept so (see `Buffer.narrow`); otherwise None."""
        flat = self._data.half()
        return None if flat is None else self._seen(flat)

    def take_over(self, values: np.ndarray[Any, Any]) -> None:
        """Write as many flat values as the blob has, without a copy where that can be: the array is the blob's then."""
        if values.size != self.count:
            raise ShapeError(f"A blob of shape {self._shape} takes {self.count} values. Received: {values.size}.")
        self._data.take_over(values)

    @property
    def diff(self) -> np.ndarray[Any, Any]:
        """The gradient on the host, up to date; writing into it is seen by the next use."""
        return self._seen(self._diff.host())

    @diff.setter
    def diff(self, values: Any) -> None:
        self.diff[...] = values

    @property
    def array(self) -> Any:
        """The values on the current mode's device; assigning copies into them."""
        return self._seen(self._data.array())

    @array.setter
    def array(self, values: Any) -> None:
        self.array[...] = values

    @property
    def grad(self) -> Any:
        """The gradient on the current mode's device; assigning copies into it."""
        return self._seen(self._diff.array())

    @grad.setter
    def grad(self, values: Any) -> None:
        self.grad[...] = values

    def clear_grad(self) -> None:
        """Make the gradient zero; see `Buffer.clear`."""
        self._diff.clear()

    def grad_to_add_to(self) -> tuple[Any, float]:
        """The gradient for a caller that adds to it, and the factor of what it holds.

        The factor is 1, or 0 where the gradient is zero but the zeros are not written yet.
        """
        array, cleared = self._diff.take()
        return array[: self.count].reshape(self._shape), 0.0 if cleared else 1.0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """The values as NumPy sees them: the host's memory itself, unless a copy is asked for or needed."""
        if copy is None:
            # NumPy 1's np.array has no "copy where needed" but by asarray.
            return np.asarray(self.data, dtype=dtype)
        return np.array(self.data, dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """Lend the values on the current mode's device to another library, without a copy (DLPack)."""
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where `__dlpack__` lends from, in DLPack's numbers."""
        kind, number = self.array.__dlpack_device__()
        return int(kind), int(number)

    def share_data(self, other: Blob) -> None:
        """Use the values of ``other``, which must have as many elements."""
        self._check_count(other)
        if self._data is not other._data:
            note_change()
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Use the gradient of ``other``, which must have as many elements."""
        self._check_count(other)
        self._diff = other._diff

    def buffer(self, side: Literal["data", "diff"]) -> Buffer:
        """The memory of the values, or of the gradient; blobs that share it have the same."""
        return self._data if side == "data" else self._diff

    def use_buffer(self, side: Literal["data", "diff"], buffer: Buffer) -> None:
        """Use other memory, of at least as many elements, for the values or for the gradient."""
        if buffer.size < self.count:
            raise ShapeError(f"A blob of shape {self._shape} needs {self.count} elements. Received: {buffer.size}.")
        note_change()
        if side == "data":
            self._data = buffer
        else:
            self._diff = buffer

    def shares_data_with(self, other: Blob) -> bool:
        """Whether both blobs' values are the same memory."""
        return self._data is other._data

    @property
    def allocated(self) -> int:
        """Bytes held now for values and gradient, host and device together."""
        return self._data.allocated + self._diff.allocated

    def canonical_axis(self, axis: int, where: str, option: str = "axis") -> int:
        """``axis`` counted from the front; ShapeError (naming the layer, ``where``) if the blob has no such axis."""
        if not -self.ndim <= axis < self.ndim:
            raise ShapeError(
                f"{where}: {option} must lie in [{-self.ndim}, {self.ndim}) for a bottom of shape {self._shape}. "
                f"Received: {option} {axis}."
            )
        return axis % self.ndim

    def _check_count(self, other: Blob) -> None:
        if self.count != other.count:
            raise ShapeError(f"Blobs that share memory need equal counts. Received: {self._shape} and {other.shape}.")

    def _legacy(self, axis: int) -> int:
        if self.ndim > 4:
            raise ShapeError(
                f"num, channels, height, width exist for at most 4 axes; this blob's shape: {self._shape}."
            )
        return self._shape[axis] if axis < self.ndim else 1

    def _values_in_words(self) -> str:
        """What the values are, as far as that is known without computing or copying anything."""
        if not self.count:
            return "empty"
        values = self._data.seen()
        if values is not None:
            return value_range(values[: self.count])
        return "all 0, not read yet" if self._data.untouched else "values on the GPU"

    def __repr__(self) -> str:
        return f"Blob(shape={self._shape}, dtype={self.dtype}, {self._values_in_words()})"
