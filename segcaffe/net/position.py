"""Which layer is running: for whoever tells how far a first pass, with all its compiling, has come."""

from __future__ import annotations

now: tuple[int, int, bool] | None = None
"""The layer that ran last, of whatever net: its index, how many there are, and whether it ran backward."""


def text() -> str:
    """``layer 7 of 23, backward``: layers are counted in the order in which the pass runs them; empty if none ran."""
    if now is None:
        return ""
    index, layers, backward = now
    return f"layer {layers - index if backward else index + 1} of {layers}, {'backward' if backward else 'forward'}"
