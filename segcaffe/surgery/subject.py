"""A net that is to be changed: its message, and the text that it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segcaffe.convert.definition import read_definition
from segcaffe.files.regular import read_bytes
from segcaffe.proto import content
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.source import text_of
from segcaffe.proto.template import expand
from segcaffe.proto.text import net_of


@dataclass(frozen=True)
class Subject:
    """A net in today's notation.

    Attributes
    ----------
    net:
        Its message, with the places of its layers.
    text:
        What it was read from, template names and comments in it; empty where it was no text.
    where:
        How errors and notes call it.
    variables:
        Values of the template names.
    """

    net: PlacedNet
    text: str = ""
    where: str = "the net"
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, variables: Mapping[str, str] | None = None) -> Subject:
        """Read a prototxt, or the net that a file of weights holds beside the values."""
        net = read_definition(path, variables)
        data = read_bytes(Path(path))
        text = text_of(data, str(path)) if content.is_configuration(data) else ""
        return cls(net, text, str(path), dict(variables or {}))

    @classmethod
    def parse(cls, text: str, variables: Mapping[str, str] | None = None, where: str = "the net") -> Subject:
        """Take a prototxt's text."""
        expanded = expand(text, variables, where).text
        net = net_of(expanded.encode("utf-8", "surrogateescape"), where)
        return cls(net, text, where, dict(variables or {}))

    @classmethod
    def of(cls, net: NetParameter) -> Subject:
        """Take a message, of whatever age; it is not changed."""
        return cls(PlacedNet.upgraded(net))

    @property
    def layers(self) -> list[LayerParameter]:
        """The net's layers, of all phases, in their order."""
        return list(self.net.message.layer)
