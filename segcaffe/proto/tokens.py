"""The text format's tokens: names, punctuation, numbers, strings; and what a file's outermost fields are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

Token = tuple[str, str, int]
"""Kind, text, and offset in the text."""
CLOSING = {"{": "}", "<": ">"}
_BRACKETS = {**CLOSING, "[": "]"}

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<punctuation>[{}:\[\],;<>-])
      | (?P<number>\.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])*)
      | (?P<string>"[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*')
      | (?P<comment>\#[^\r\n]*)
      | (?P<end>\Z)
      | (?P<other>\S[^\s{}\[\],;<>\#]*)
    )""",
    re.VERBOSE,
)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text, comments left out; the last is of kind ``end``."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text, 1 if text.startswith("\ufeff") else 0):
        kind = match.lastgroup
        if kind is not None and kind != "comment":
            tokens.append((kind, match.group(kind), match.start(kind)))
    return tokens


def outer_fields(text: str) -> list[str]:
    """Return the names of the fields outside all braces, whatever message they belong to."""
    return outermost(tokenize(text))


def outermost(tokens: list[Token]) -> list[str]:
    """Return the names of the fields outside all braces."""
    names, depth = [], 0
    for (kind, token, _), (_, behind, _) in itertools.pairwise(tokens):
        depth += (token in CLOSING) - (token in ("}", ">"))
        if depth == 0 and kind == "name" and (behind == ":" or behind in CLOSING):
            names.append(token)
    return names


def behind_value(tokens: Sequence[Token], at: int) -> int | None:
    """Return the index of the token behind the value of a field, whatever that is; None where there is no value.

    ``at`` is the index of the token behind the field's name.
    """
    has_colon = tokens[at][1] == ":"
    at += has_colon
    kind, text, _ = tokens[at]
    if text in _BRACKETS and kind != "string":
        return _behind_brackets(tokens, at)
    if not has_colon:
        return None
    if text == "-":
        at += 1
        kind = tokens[at][0]
    if kind not in ("name", "number", "string"):
        return None
    at += 1
    while kind == "string" and tokens[at][0] == "string":
        at += 1
    return at


def _behind_brackets(tokens: Sequence[Token], at: int) -> int | None:
    wanted: list[str] = []
    for i in range(at, len(tokens)):
        kind, text, _ = tokens[i]
        if kind == "string":
            continue
        if text in _BRACKETS:
            wanted.append(_BRACKETS[text])
        elif text in _BRACKETS.values():
            if text != wanted.pop():
                return None
            if not wanted:
                return i + 1
    return None
