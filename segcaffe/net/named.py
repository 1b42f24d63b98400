"""What a net holds by name: mappings that say which names there are when one is not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NoReturn, TypeVar

from segcaffe.errors import unknown_name

T = TypeVar("T")


class Named(OrderedDict[str, T]):
    """An ordered mapping; a name that is not in it is a KeyError that lists the known ones.

    Attributes
    ----------
    what:
        What the names are those of, for the message.
    """

    what = "entry"

    @classmethod
    def of(cls, what: str, pairs: Iterable[tuple[str, T]]) -> Named[T]:
        """Make one of (name, value) pairs."""
        named = cls(pairs)
        named.what = what
        return named

    def __missing__(self, name: object) -> NoReturn:
        raise unknown_name(self.what, name, self)
