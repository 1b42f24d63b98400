"""Attributes that instances set and that classes show."""

from __future__ import annotations

from typing import Any


class Member:
    """An attribute of every instance which, as a property would, is there on the class too, with its documentation.

    Instances set it like any attribute, so that reading it costs nothing.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Member:
        if instance is not None:
            raise AttributeError(f"{type(instance).__name__} has no {self.name} yet.", name=self.name, obj=instance)
        return self


def member(doc: str) -> Any:
    """Return a `Member`; of any type, so that the annotation beside it says what instances hold."""
    return Member(doc)
