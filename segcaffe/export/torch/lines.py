"""Statements that fit the page, broken as ruff and black break them."""

from __future__ import annotations

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"


def statement(text: str, indent: int, comment: str = "") -> list[str]:
    """The lines of a statement; a comment stands behind it, or above where there is no room."""
    line = f"{' ' * indent}{text}"
    noted = f"{line}  # {comment}" if comment else line
    if len(noted) <= WIDTH:
        return [noted]
    above = [f"{' ' * indent}# {comment}"] if comment else []
    return above + _broken(line, indent)


def _broken(line: str, indent: int) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    start = _last_bracket(line)
    if start is None:
        return [line]
    end = _matching(line, start)
    head, inner, tail = line[: start + 1], line[start + 1 : end], line[end:]
    pad = " " * (indent + 4)
    parts = _split(inner)
    is_call = head[-1] == "(" and len(head) > 1 and (head[-2].isalnum() or head[-2] in "_)]")
    is_grouping = head[-1] == "(" and not is_call and len(parts) == 1
    if is_grouping:
        return [head, *_broken(pad + inner, indent + 4), " " * indent + tail]
    # Arguments may stand on a line of their own together, the elements of a tuple or list may not.
    if is_call and len(pad + inner) <= WIDTH:
        return [head, pad + inner, " " * indent + tail]
    lines = [head]
    for part in parts:
        lines += _broken(f"{pad}{part},", indent + 4)
    return [*lines, " " * indent + tail]


def _last_bracket(line: str) -> int | None:
    """Where the outermost bracket opens that closes last."""
    depth, found, start = 0, None, None
    quote = ""
    for i, c in enumerate(line):
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in _OPEN:
            if depth == 0:
                start = i
            depth += 1
        elif c in _CLOSE:
            depth -= 1
            if depth == 0 and i > (start or 0) + 1:
                found = start
    return found


def _matching(line: str, start: int) -> int:
    depth = 0
    for i in range(start, len(line)):
        depth += (line[i] in _OPEN) - (line[i] in _CLOSE)
        if depth == 0:
            return i
    return len(line) - 1


def _split(inner: str) -> list[str]:
    """The parts between the commas that no bracket is around."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(inner):
        depth += (c in _OPEN) - (c in _CLOSE)
        if c == "," and depth == 0:
            parts.append(inner[start:i].strip())
            start = i + 1
    return [part for part in [*parts, inner[start:].strip()] if part]
