"""Blobs that are computed when they are read.

Fusion leaves every layer and blob of a net in its place and under its name. A layer whose result a fused layer no
longer needs becomes lazy (`segcaffe.fusion.running.Lazy`): running it only notes that its tops are out of date. The
first look at such a top, or at its gradient, runs the layer's own code, which looks at its bottoms in turn. What is
written into a lazy blob is never read; build the net without fusion to run parts of it on values of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from segcaffe.blob import Blob
from segcaffe.blob.buffer import note_change

Side = Literal["data", "diff"]
_SIDES: dict[str, Side] = {"data": "data", "array": "data", "diff": "diff", "grad": "diff"}
"""The side that an attribute is a look at."""


class LazyBlob(Blob):
    """A blob that may owe its values, or its gradient, to a function that is called at the first look."""

    __slots__ = ("_due",)

    def __init__(self, shape: Sequence[int] = (0,), dtype: Any = np.float32) -> None:
        super().__init__(shape, dtype)
        self._due: dict[Side, Callable[[], None]] = {}

    def defer(self, side: Side, make: Callable[[], None]) -> None:
        """From now on the values, or the gradient, are what ``make`` fills in; the old ones' memory is given back."""
        self._due[side] = make
        self.buffer(side).release()

    def settle(self, side: Side) -> None:
        """Note that the values, or the gradient, are up to date, or about to be."""
        self._due.pop(side, None)

    def is_due(self, side: Side) -> bool:
        """Whether the values, or the gradient, are still to be computed."""
        return side in self._due

    def _values_in_words(self) -> str:
        return "not computed" if "data" in self._due else super()._values_in_words()

    def __getattribute__(self, name: str) -> Any:
        """Let whoever looks at values or gradient find what is due."""
        if name in _SIDES:
            make = self._due.pop(_SIDES[name], None)
            if make is not None:
                note_change()
                make()
        return super().__getattribute__(name)
