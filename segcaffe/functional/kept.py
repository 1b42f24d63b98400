"""What a forward pass hands to the backward pass of the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

State = TypeVar("State")


class Kept:
    """What a function found out that its ``…_backward`` would compute again; for one use, with the same arguments."""

    def __init__(self) -> None:
        self._state: object = None

    def put(self, state: object) -> None:
        """Hold what a forward pass saved."""
        self._state = state

    def take(self, make: Callable[[], State]) -> State:
        """Give it back, once; after that, and where nothing was kept, what ``make`` returns."""
        state, self._state = self._state, None
        return make() if state is None else state  # type: ignore[return-value]
