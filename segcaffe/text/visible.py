"""Characters that are not seen, but change what is: names from a file must not steer a terminal or hide in a page."""

from __future__ import annotations

import re

_TURNS = "\u2028-\u202e\u2066-\u2069"
"""Ends of lines and turns of direction."""
CONTROL = f"\x00-\x1f\x7f-\x9f{_TURNS}"
"""Control characters, as a part of a set in a regular expression."""

_CONTROL = re.compile(f"[{CONTROL}]")
# Left to the libraries that print: a progress bar begins (and ends) with a return, help has colours.
_STEERING = re.compile(
    f"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f{_TURNS}]"
    r"|\x1b(?!\[[0-9;]{0,12}[mA])"
    r"|(?<!\A)\r(?![\n]|\Z)"
)


def one_line(text: str) -> str:
    """Return a name as it stands in a table, control characters (ends of lines too) as escapes."""
    return _CONTROL.sub(_escaped, text)


def harmless(text: str) -> str:
    """Return text for a terminal with an escape for what would steer it; ends of lines, tabs and colours stay."""
    return _STEERING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
