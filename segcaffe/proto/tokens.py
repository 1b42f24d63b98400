"""The text format's tokens: names, punctuation, numbers, strings; and what a file's outermost fields are."""

from __future__ import annotations

import itertools
import re

Token = tuple[str, str, int]
"""Kind, text, and offset in the text."""
CLOSING = {"{": "}", "<": ">"}

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
