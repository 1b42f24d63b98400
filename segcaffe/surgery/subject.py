"""A net that is to be changed: its message, and the text that it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segcaffe.convert.definition import read_definition
from segcaffe.proto import content
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.source import text_of
from segcaffe.proto.template import expand
from segcaffe.proto.text import net_in
from segcaffe.snapshot.files import read_file


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
        if content.is_configuration(data := read_file(path)):
            return cls.parse(text_of(data, str(path)), variables, str(path))
        return cls(read_definition(path), where=str(path))

    @classmethod
    def parse(cls, text: str, variables: Mapping[str, str] | None = None, where: str = "the net") -> Subject:
        """Take a prototxt's text.

        Template names without a value may stand in strings, as paths of data that nobody reads here, and stay there.
        """
        values = dict(variables or {})
        net = net_in(expand(text, values | _in_strings(text, values, where), where))
        return cls(net, text, where, values)

    @classmethod
    def of(cls, net: NetParameter) -> Subject:
        """Take a message, of whatever age; it is not changed."""
        return cls(PlacedNet.upgraded(net))

    @property
    def layers(self) -> list[LayerParameter]:
        """The net's layers, of all phases, in their order."""
        return list(self.net.message.layer)


def _in_strings(text: str, values: Mapping[str, str], where: str) -> dict[str, str]:
    """Template names without a value that stand in strings alone, each for itself."""
    sketch = expand(text, values, where, placeholder="1")
    unset = [span for span in sketch.spans if span.name not in values]
    bare = {span.name for span in unset if not sketch.text.startswith("${", span.start)}
    return {span.name: f"${{{span.name}}}" for span in unset if span.name not in bare}
