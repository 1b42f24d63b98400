"""Messages whose fields hold what they should not: extreme numbers, other words, too many values, none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_SIGNED = (-(2**31), -1, 0, 1, 2, 7, 100, 10**4, 2**30, 2**31 - 1)
_UNSIGNED = (0, 1, 2, 7, 100, 10**4, 2**30, 2**31, 2**32 - 1)
_LONG = (*_SIGNED, 2**40, -(2**63), 2**63 - 1)
_FLOATS = (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e-45, 1e38, -1e38, 0.5)
_WORDS = (
    "",
    "x",
    "..",
    "gaussian",
    "xavier",
    "bilinear",
    "xy",
    "positive_unitball",
    "nothing/there",
    "\0",
    "ip",
    "\u20ac",
)
_NUMBERS: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.TYPE_INT32: _SIGNED, FieldDescriptor.TYPE_INT64: _LONG, FieldDescriptor.TYPE_UINT32: _UNSIGNED,
    FieldDescriptor.TYPE_UINT64: tuple(abs(number) for number in _LONG), FieldDescriptor.TYPE_FLOAT: _FLOATS,
    FieldDescriptor.TYPE_DOUBLE: _FLOATS, FieldDescriptor.TYPE_BOOL: (True, False), FieldDescriptor.TYPE_STRING: _WORDS,
    FieldDescriptor.TYPE_BYTES: (b"", b"\xff"),
}  # fmt: skip


def change(rng: random.Random, message: Message) -> None:
    """Change a field of a message, or of one inside it; those that are set more often than others."""
    inside = list(_inside(message))
    # Options of layers, not the messages that hold them, are what there is most of.
    target = rng.choice(inside[-3:] if rng.random() < 0.5 else inside)
    given = [field for field, _ in target.ListFields()]
    fields = given if given and rng.random() < 0.5 else list(target.DESCRIPTOR.fields)
    _change_field(rng, target, rng.choice(fields))


def _inside(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in value if field.is_repeated else [value]:
                yield from _inside(one)


def _change_field(rng: random.Random, message: Message, field: FieldDescriptor) -> None:
    values = getattr(message, field.name)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        one = values.add() if field.is_repeated else values
        if not field.is_repeated:
            one.SetInParent()
        for _ in range(rng.choice((0, 1, 1, 2))):
            _change_field(rng, one, rng.choice(list(one.DESCRIPTOR.fields)))
    elif not field.is_repeated:
        setattr(message, field.name, _value(rng, field))
    elif values and rng.random() < 0.5:
        values[rng.randrange(len(values))] = _value(rng, field)
    else:
        values.extend([_value(rng, field)] * rng.choice((1, 1, 3, 35, 300)))


def _value(rng: random.Random, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    return rng.choice(_NUMBERS[field.type])
