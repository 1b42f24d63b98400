"""Whole numbers in names, options and lists."""

from __future__ import annotations

_MOST_DIGITS = 18
"""So that every number fits 64 bits, and no text is longer than what Python makes numbers of."""


def whole_number(text: str) -> int | None:
    """The number that decimal digits (0 to 9) stand for; None for any other text, and for one of too many digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def signed_number(text: str) -> int | None:
    """As `whole_number`, with a sign in front or without."""
    number = whole_number(text[1:] if text[:1] in ("-", "+") else text)
    return -number if number is not None and text.startswith("-") else number
