"""Scalar values of the text format: text to integer, float, truth value, enum number, string.

Every reader takes the kind of the value's first token and its text, as protobuf's text format understands them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from segcaffe.errors import did_you_mean
from segcaffe.proto.encoding import from_bytes, from_native

_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|[0-9]+)\Z")
_DECIMAL = re.compile(
    r"-?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?:0|[1-9][0-9]*)(?:[eE][+-]?[0-9]+)?)[fF]?\Z"
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_LETTERS.update({mark: mark for mark in (b"\\", b"'", b'"', b"?")})
# The largest float32 plus half a step: what lies beyond rounds to infinity.
_FLOAT32_LIMIT = 3.4028235677973366e38


_LONGEST = 1000
"""Characters of a whole number; Python refuses to read those of 4300 digits."""


class BadValueError(ValueError):
    """A value breaks the rule of its field; ``rule`` is a sentence, ``hint`` another one or empty."""

    def __init__(self, rule: str, hint: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.hint = hint


def integer(low: int, high: int) -> Callable[[str, str], int]:
    """Return the reader of whole numbers from ``low`` to ``high``: decimal, 0x hexadecimal or 0 octal."""
    rule = f"the value must be a whole number from {low} to {high}."

    def read(kind: str, text: str) -> int:
        if kind == "string" or not _INTEGER.match(text) or len(text) > _LONGEST:
            raise BadValueError(rule)
        digits = text.lstrip("-")
        try:
            number = int(digits, 8 if digits.isdigit() and len(digits) > 1 and digits[0] == "0" else 0)
        except ValueError:
            raise BadValueError(f"{rule} A leading 0 means octal, with digits up to 7.") from None
        number = -number if text[0] == "-" else number
        if not low <= number <= high:
            raise BadValueError(rule)
        return number

    return read


def float64(kind: str, text: str) -> float:
    """Return a decimal number, ``inf`` or ``nan``."""
    name = text.lstrip("-").lower()
    if kind != "string" and name in ("inf", "infinity", "nan"):
        return float(text.lower())
    if kind == "string" or not _DECIMAL.match(text):
        raise BadValueError("the value must be a decimal number.")
    number = float(text.rstrip("fF"))
    if math.isinf(number):
        raise BadValueError("the value must be a number that a float can hold, up to 3.4e38 (write inf for infinity).")
    return number


def float32(kind: str, text: str) -> float:
    """Return a decimal number that a float32 can hold, ``inf`` or ``nan``."""
    number = float64(kind, text)
    if abs(number) >= _FLOAT32_LIMIT and not math.isinf(number):
        raise BadValueError("the value must be a number that a float can hold, up to 3.4e38 (write inf for infinity).")
    return number


def boolean(kind: str, text: str) -> bool:
    """Return a truth value."""
    if kind != "string":
        if text in ("true", "True", "t") or (_INTEGER.match(text) and text.lstrip("0xX") == "1"):
            return True
        if text in ("false", "False", "f") or (_INTEGER.match(text) and not text.strip("0xX")):
            return False
    raise BadValueError("the value must be true or false.")


def enum(numbers: Mapping[str, int], full_name: str) -> Callable[[str, str], int]:
    """Return the reader of one of the named values, by name or number."""
    names = ", ".join(numbers) if len(numbers) <= 12 else f"the {len(numbers)} names that the schema knows"
    known = set(numbers.values())
    is_layer_type = full_name.endswith("V1LayerParameter.type")

    def read(kind: str, text: str) -> int:
        if kind == "name" and text in numbers:
            return numbers[text]
        if kind != "string" and len(text) <= _LONGEST and _INTEGER.match(text):
            number = int(text, 0 if "x" in text.lower() else 10)
            if number in known:
                return number
        if kind == "string" and is_layer_type:
            raise BadValueError(
                "inside `layers` (with s) the type is one of the old names without quotes, such as CONVOLUTION.",
                " For quoted types write `layer` instead of `layers`.",
            )
        if is_layer_type:
            raise BadValueError(f"unknown layer type, none of {names}.", did_you_mean(text.upper(), numbers))
        unquoted = " without quotes" if kind == "string" else ""
        raise BadValueError(f"the value must be one of {names}{unquoted}.", did_you_mean(text.upper(), numbers))

    return read


def string(kind: str, text: str) -> str:
    """Return the text of a string, as messages hold it (see `encoding`)."""
    if kind != "string":
        example = f', as in "{text}"' if kind in ("name", "number", "other") else ""
        raise BadValueError(f"the value must stand in quotes{example}.", _old_type_hint(text))
    return from_bytes(_unescape(text)) if "\\" in text else from_native(text)


def raw_bytes(kind: str, text: str) -> bytes:
    """Return the bytes of a string."""
    if kind != "string":
        raise BadValueError("the value must stand in quotes.")
    return _unescape(text)


def no_scalar(kind: str, text: str) -> object:
    """Refuse: the field is a group of fields."""
    raise BadValueError("the value must be a group of fields in { }.")


def join_strings(tokens: list[str]) -> str:
    """Return what stands between the quotes of adjacent strings."""
    return "".join(token[1:-1] for token in tokens)


def _old_type_hint(text: str) -> str:
    is_old_type = re.fullmatch(r"[A-Z][A-Z0-9_]+", text)
    return f" For the old name {text} without quotes write `layers` instead of `layer`." if is_old_type else ""


def _unescape(text: str) -> bytes:
    return _ESCAPE.sub(_unescape_one, text.encode("utf-8", "surrogateescape"))


def _unescape_one(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, letter = match.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if letter is not None:
        if letter not in _LETTERS:
            raise BadValueError(
                f"a string knows the escapes \\n \\t \\\\ \\\" \\' and their like, not \\{letter.decode('latin-1')}."
            )
        return _LETTERS[letter]
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise BadValueError(f"\\u{code:x} is no character of Unicode.")
    return chr(code).encode("utf-8")
