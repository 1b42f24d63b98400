"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun, ``1 layer`` or ``3 layers``; ``noun`` is the singular of one with a regular plural."""
    if number == 1:
        return f"1 {noun}"
    last = noun.endswith(("s", "x", "ch"))
    return f"{number} {noun}{'es' if last else 's'}"
