"""Which function writes a layer of which type, and which types are not written and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcaffe.export.torch.site import Site

Lines = str | list[str]
Writer = Callable[["Site"], Lines]


@dataclass(frozen=True)
class Mapping:
    """How a type is written.

    Attributes
    ----------
    write:
        From a layer's `Site` to the expression of its top; for several tops one each, or one for a tuple of them.
    wraps:
        Whether the expression has its bottom once, as the argument of a function, so that it may be an expression.
    fresh:
        Whether the top is memory of its own that no backward pass looks at: the next layer may work in place.
    """

    write: Writer
    wraps: bool = False
    fresh: bool = False


MAPPINGS: dict[str, Mapping] = {}
"""By type."""

NOT_WRITTEN: dict[str, str] = {}
"""By type why it is refused, and what to do."""


def writes(*types: str, wraps: bool = False, fresh: bool = False) -> Callable[[Writer], Writer]:
    """Declare the function that writes layers of these types."""

    def declare(function: Writer) -> Writer:
        MAPPINGS.update(dict.fromkeys(types, Mapping(function, wraps, fresh)))
        return function

    return declare


def refuses(reason: str, *types: str) -> None:
    """Declare types that are not written."""
    NOT_WRITTEN.update(dict.fromkeys(types, reason))
