"""Which layer is running: for whoever tells how far a first pass, with all its compiling, has come."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """Layer number ``layer`` of ``layers``, in a forward or a backward pass."""

    layer: int
    layers: int
    backward: bool

    def text(self) -> str:
        """``layer 7 of 23, backward``: layers are counted in the order in which the pass runs them."""
        number = self.layers - self.layer if self.backward else self.layer + 1
        return f"layer {number} of {self.layers}, {'backward' if self.backward else 'forward'}"


now: Position | None = None
"""The layer that ran last, of whatever net."""
