"""The parser of the text format: recursive descent, driven by the schema's descriptors."""

from __future__ import annotations

from google.protobuf.message import Message

from segcaffe.errors import Place
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.fields import Field, field_table
from segcaffe.proto.mistakes import LAYER_MESSAGES, Group, Mistakes
from segcaffe.proto.source import Source
from segcaffe.proto.tokens import CLOSING
from segcaffe.proto.values import BadValueError, join_strings


class Parser(Mistakes):
    """Recursive descent over the tokens of one source."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.layer_offsets: list[int] = []
        self.input_offset: int | None = None

    def message(self, message: Message) -> None:
        """Parse the whole source into ``message``."""
        self._fields(message, "", 0)

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
                raise self.not_a_field(closing)
            self.path.append(text)
            if not field.repeated and text in seen:
                raise self.given_twice(field, seen[text], offset)
            seen[text] = offset
            self.at += 1
            if len(self.path) == 1:
                self._note_place(field, offset)
            self._field(message, field)
            self.path.pop()
            if tokens[self.at][1] in (",", ";"):
                self.at += 1

    def _field(self, message: Message, field: Field) -> None:
        text = self.tokens[self.at][1]
        if text == ":":
            self.at += 1
            text = self.tokens[self.at][1]
        elif field.message is None:
            raise self.error("a field's name is followed by a colon and its value.")
        if text == "[" and field.repeated:
            self._list(message, field)
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
        elif field.repeated:
            getattr(message, field.name).append(self._scalar(field))
        else:
            setattr(message, field.name, self._scalar(field))

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

    def _scalar(self, field: Field) -> object:
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
            self.at = start
            raise self.error(bad.rule, text if kind != "string" else None, bad.hint) from None

    def _strings(self) -> str:
        """Return the contents of adjacent strings, still escaped, and stop at the last of them."""
        texts = [self.tokens[self.at][1]]
        while self.tokens[self.at + 1][0] == "string":
            self.at += 1
            texts.append(self.tokens[self.at][1])
        return join_strings(texts)
