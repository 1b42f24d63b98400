"""The parser of the text format: recursive descent, driven by the schema's descriptors."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from segcaffe.errors import Place, PrototxtError
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.fields import SEVERAL, Field, field_table
from segcaffe.proto.mistakes import LAYER_MESSAGES, Group, Mistakes
from segcaffe.proto.source import Source
from segcaffe.proto.tokens import CLOSING, behind_value
from segcaffe.proto.unknown import UnknownOption, error_about
from segcaffe.proto.values import BadValueError, join_strings


class Parser(Mistakes):
    """Recursive descent over the tokens of one source.

    Options that the schema does not know are passed over until the end, where an error tells of all of them; where the
    parser is ``tolerant`` it is none, and they stay in ``unknown``.
    """

    def __init__(self, source: Source, *, tolerant: bool = False) -> None:
        super().__init__(source)
        self.tolerant = tolerant
        self.unknown: list[UnknownOption] = []
        self.layer_offsets: list[int] = []
        self.input_offset: int | None = None

    def message(self, message: Message) -> None:
        """Parse the whole source into ``message``."""
        try:
            self._fields(message, "", 0)
        except PrototxtError:
            # What comes after an option that is not known may follow from it.
            if self.tolerant or not self.unknown:
                raise
        if self.unknown and not self.tolerant:
            raise error_about(self.unknown)

    def layer_places(self, net: NetParameter) -> list[tuple[str, Place]]:
        """Return name and place of each layer as written, before any upgrade."""
        names = [layer.name or layer.layer.name for layer in net.layers] + [layer.name for layer in net.layer]
        places = [self._line(offset) for offset in self.layer_offsets]
        written = list(zip(names, places, strict=True)) if not (net.layers and net.layer) else []
        if self.input_offset is not None:
            written.insert(0, ("input", self._line(self.input_offset)))
        return written

    def _line(self, offset: int) -> Place:
        return Place(self.source.filename, self.source.line(offset))

    def _fields(self, message: Message, closing: str, opened: int) -> None:
        table = field_table(message.DESCRIPTOR)
        seen: dict[str, int] = {}
        tokens = self.tokens
        self.groups.append(Group(message.DESCRIPTOR, opened))
        while True:
            kind, text, offset = tokens[self.at]
            if text == closing:
                self.at += 1
                self.closed = self.groups.pop()
                return
            field = table.get(text) if kind == "name" else None
            if field is None:
                self._pass_over(closing)
                continue
            self.path.append(text)
            if not field.repeated and text in seen:
                field = self._several(message, field, table)
                if field is None:
                    raise self.given_twice(table[text], seen[text], offset)
            seen[text] = offset
            self.at += 1
            if len(self.path) == 1:
                self._note_place(field, offset)
            self._field(message, field, table)
            self.path.pop()
            if tokens[self.at][1] in (",", ";"):
                self.at += 1

    def _several(self, message: Message, field: Field, table: Mapping[str, Field]) -> Field | None:
        """Return the field that holds several values of this one, what was given moved there; None without one."""
        several = table.get(f"{field.name}{SEVERAL}")
        if several is not None and message.HasField(field.name):
            getattr(message, several.name).append(getattr(message, field.name))
            message.ClearField(field.name)
        return several

    def _pass_over(self, closing: str) -> None:
        """Note a field that is not known, and go on behind its value; raise the error where that cannot be."""
        error = self.not_a_field(closing)
        if error is not None:
            raise error
        option, behind = self.unknown_field(), behind_value(self.tokens, self.at + 1)
        if behind is None:
            raise error_about([option])
        self.unknown.append(option)
        self.at = behind + (self.tokens[behind][1] in (",", ";"))

    def _field(self, message: Message, field: Field, table: Mapping[str, Field]) -> None:
        text = self.tokens[self.at][1]
        if text == ":":
            self.at += 1
            text = self.tokens[self.at][1]
        elif field.message is None:
            raise self.error("a field's name is followed by a colon and its value.")
        several = field if field.repeated else table.get(f"{field.name}{SEVERAL}")
        if text == "[" and several is not None:
            self._list(message, several)
        else:
            self._value(message, field)

    def _note_place(self, field: Field, offset: int) -> None:
        if field.message in LAYER_MESSAGES:
            self.layer_offsets.append(offset)
        elif field.name == "input" and self.input_offset is None:
            self.input_offset = offset

    def _list(self, message: Message, field: Field) -> None:
        self.at += 1
        if self.tokens[self.at][1] == "]":
            self.at += 1
            return
        while True:
            self._value(message, field)
            text = self.tokens[self.at][1]
            if text not in (",", "]"):
                raise self.error("the values of a list stand between [ and ], with commas between them.")
            self.at += 1
            if text == "]":
                return

    def _value(self, message: Message, field: Field) -> None:
        if field.message is not None:
            self._submessage(message, field)
            return
        value = self._scalar(field)
        if value is None:
            return
        if field.repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    def _submessage(self, message: Message, field: Field) -> None:
        _, text, opened = self.tokens[self.at]
        if text not in CLOSING:
            raise self.error(f"{field.name} is a group of fields, written {field.name} {{ ... }}.")
        self.at += 1
        child = getattr(message, field.name)
        if field.repeated:
            child = child.add()
        else:
            child.SetInParent()
        outer = self.layer_start
        if field.message in LAYER_MESSAGES:
            self.layer_start = self.at
        self._fields(child, CLOSING[text], opened)
        self.layer_start = outer

    def _scalar(self, field: Field) -> object | None:
        """Return the value of a field; None for that of an enum which is passed over."""
        start = self.at
        kind, text, _ = self.tokens[start]
        if kind == "string":
            text = self._strings()
        elif text == "-":
            self.at += 1
            text = "-" + self.tokens[self.at][1]
        self.at += 1
        try:
            return field.convert(kind, text)
        except BadValueError as bad:
            behind, self.at = self.at, start
            if self.tolerant and kind == "name" and field.descriptor.enum_type is not None and field.name != "type":
                self.unknown.append(self.unknown_value(bad.rule, text, bad.hint))
                self.at = behind
                return None
            raise self.error(bad.rule, text if kind != "string" else None, bad.hint) from None

    def _strings(self) -> str:
        """Return the contents of adjacent strings, still escaped, and stop at the last of them."""
        texts = [self.tokens[self.at][1]]
        while self.tokens[self.at + 1][0] == "string":
            self.at += 1
            texts.append(self.tokens[self.at][1])
        return join_strings(texts)
