"""Blobs that are computed when they are read, and the layers that make them.

Fusion leaves every layer and blob of a net in its place and under its name. A layer whose result a fused layer no
longer needs becomes deferred: running it only notes that its tops are out of date. The first look at such a top (or at
its gradient) runs the layer's own code, which looks at its bottoms in turn. What is written into a deferred blob is
never read; build the net without fusion to run parts of it on values of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.layers.base import Blobs, Layer

Make = Callable[[], None]


class DeferredBlob(Blob):
    """A blob that may owe its values, or its gradient, to a function that is called at the first look."""

    __slots__ = ("_data_due", "_diff_due", "_make_data", "_make_diff")

    def __init__(self, shape: Sequence[int] = (0,), dtype: Any = np.float32) -> None:
        super().__init__(shape, dtype)
        self._make_data: Make | None = None
        self._make_diff: Make | None = None
        self._data_due = self._diff_due = False

    def defer_data(self, make: Make) -> None:
        """From now on the values are those that ``make`` fills in; the memory of the old ones is given back."""
        self._make_data, self._data_due = make, True
        self.buffer("data").release()

    def defer_diff(self, make: Make) -> None:
        """From now on the gradient is what ``make`` fills in; the memory of the old one is given back."""
        self._make_diff, self._diff_due = make, True
        self.buffer("diff").release()

    def settled(self) -> None:
        """Note that the values are up to date, or about to be."""
        self._data_due = False

    def _settle_data(self) -> None:
        if self._data_due and self._make_data is not None:
            self._data_due = False
            self._make_data()

    def _settle_diff(self) -> None:
        if self._diff_due and self._make_diff is not None:
            self._diff_due = False
            self._make_diff()

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The values on the host, computed now if they are out of date."""
        self._settle_data()
        return super().data

    @data.setter
    def data(self, values: Any) -> None:
        self.data[...] = values

    @property
    def diff(self) -> np.ndarray[Any, Any]:
        """The gradient on the host, computed now if it is out of date."""
        self._settle_diff()
        return super().diff

    @diff.setter
    def diff(self, values: Any) -> None:
        self.diff[...] = values

    @property
    def array(self) -> Any:
        """The values on the current mode's device, computed now if they are out of date."""
        self._settle_data()
        return super().array

    @array.setter
    def array(self, values: Any) -> None:
        self.array[...] = values

    @property
    def grad(self) -> Any:
        """The gradient on the current mode's device, computed now if it is out of date."""
        self._settle_diff()
        return super().grad

    @grad.setter
    def grad(self, values: Any) -> None:
        self.grad[...] = values


class Deferred(Layer):
    """Mixin: a layer that runs when its tops are read. Its tops are deferred blobs."""

    replayable = False

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Note that the tops are out of date."""
        for blob in _deferred(top):
            blob.defer_data(lambda: self._make_tops(bottom, top))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Note that the gradients of deferred bottoms are out of date; those of others are the fused layer's work."""
        for i, blob in enumerate(bottom):
            if propagate_down[i] and isinstance(blob, DeferredBlob):
                blob.defer_diff(lambda i=i: self._make_gradient(i, top, bottom))  # type: ignore[misc]

    def _make_tops(self, bottom: Blobs, top: Blobs) -> None:
        for blob in _deferred(top):
            blob.settled()
        for source in bottom:
            # A layer that shares its bottom's memory does not look at it itself.
            _ = source.array
        super().forward(bottom, top)

    def _make_gradient(self, index: int, top: Blobs, bottom: Blobs) -> None:
        super().backward(top, [i == index for i in range(len(bottom))], bottom)


def _deferred(blobs: Blobs) -> list[DeferredBlob]:
    return [blob for blob in blobs if isinstance(blob, DeferredBlob)]


def deferred_class(cls: type[Layer]) -> type[Layer]:
    """The deferred version of a layer class, under the same name."""
    return type(cls.__name__, (Deferred, cls), {"__doc__": cls.__doc__})
