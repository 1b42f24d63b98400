"""What must be known of the schema's fields, looked up once per message type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from segcaffe.proto import values
from segcaffe.proto.caffe_pb2 import LayerParameter

SEVERAL = "_nd"
"""What the name of a field ends with that holds several values of another, which may be given once in most Caffes."""
Convert = Callable[[str, str], object]


@dataclass(frozen=True)
class Field:
    """One field for the text parser: its name, whether it repeats, and its message type or how its value is read.

    ``convert(kind, text)`` takes the kind of the first token (name, number, string, punctuation, other) and the text
    of the value, and raises ``values.BadValueError``.
    """

    name: str
    repeated: bool
    message: str | None
    convert: Convert
    descriptor: FieldDescriptor

    def inner_names(self) -> list[str]:
        """Return the names of the fields inside, none for a scalar."""
        inner = self.descriptor.message_type
        return [field.name for field in inner.fields] if inner is not None else []


@cache
def field_table(descriptor: Descriptor) -> Mapping[str, Field]:
    """Return the fields of a message type by name."""
    return {field.name: _field(field) for field in descriptor.fields}


@cache
def options_by_type() -> Mapping[str, str]:
    """Return for each options message the field that holds it: ``argmax_param`` for ArgMax, an ``ArgMaxParameter``.

    Where several hold the same message (``relu_param`` and a fork's ``relu6_param``), it is the first of the schema.
    """
    options: dict[str, str] = {}
    for field in LayerParameter.DESCRIPTOR.fields:
        if field.name.endswith("_param") and field.message_type is not None:
            options.setdefault(field.message_type.name.removesuffix("Parameter"), field.name)
    return options


def enum_name(field: FieldDescriptor, number: int) -> str:
    """Return the name of an enum's value in text files: the schema has ``None_`` for ``None``, a word of Python's."""
    kind: Any = field.enum_type
    return str(kind.values_by_number[number].name).removesuffix("_")


def _field(descriptor: FieldDescriptor) -> Field:
    message = descriptor.message_type.name if descriptor.message_type is not None else None
    return Field(descriptor.name, descriptor.is_repeated, message, _converter(descriptor), descriptor)


def _converter(field: FieldDescriptor) -> Convert:
    kinds: dict[int, Convert] = {
        FieldDescriptor.TYPE_INT32: values.integer(-(2**31), 2**31 - 1),
        FieldDescriptor.TYPE_INT64: values.integer(-(2**63), 2**63 - 1),
        FieldDescriptor.TYPE_UINT32: values.integer(0, 2**32 - 1),
        FieldDescriptor.TYPE_FLOAT: values.float32,
        FieldDescriptor.TYPE_DOUBLE: values.float64,
        FieldDescriptor.TYPE_BOOL: values.boolean,
        FieldDescriptor.TYPE_STRING: values.string,
        FieldDescriptor.TYPE_BYTES: values.raw_bytes,
        FieldDescriptor.TYPE_MESSAGE: values.no_scalar,
    }
    if field.enum_type is not None:
        numbers = [value.number for value in field.enum_type.values]
        return values.enum({enum_name(field, number): number for number in numbers}, field.full_name)
    return kinds[field.type]
