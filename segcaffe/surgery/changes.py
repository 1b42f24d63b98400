"""What is changed in a net, and the net with the changes: as a message, and as its text with all that stood there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from segcaffe.errors import Place, SegcaffeError
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.printer import write
from segcaffe.proto.text import parse
from segcaffe.proto.tokens import CLOSING, Token, behind_value, tokenize
from segcaffe.surgery.subject import Subject
from segcaffe.surgery.written import escaped

CONVOLUTION = "Convolution"


@dataclass
class Changes:
    """Layers put in, and blobs that layers read or make by other names.

    Attributes
    ----------
    before:
        Text of layers to put before a layer, by its index; one behind the last is for the end.
    blobs:
        New names by old ones of the blobs that a layer reads or makes, by its index.
    columns:
        For convolutions that read columns from now on, by their indices, further options. Their type is Convolution.
    """

    before: dict[int, list[str]] = field(default_factory=dict)
    bottoms: dict[int, dict[str, str]] = field(default_factory=dict)
    tops: dict[int, dict[str, str]] = field(default_factory=dict)
    columns: dict[int, Mapping[str, int]] = field(default_factory=dict)

    def put(self, index: int, *layers: str) -> None:
        """Put layers before that of an index, behind what is put there already."""
        self.before.setdefault(index, []).extend(layers)

    def layers(self, index: int) -> list[LayerParameter]:
        """The layers that are put before that of an index."""
        return list(parse("".join(self.before.get(index, [])), NetParameter()).layer)


def changed(subject: Subject, changes: Changes, head: str) -> tuple[str, bool]:
    """Return a net's text with the changes below ``head``, comment lines, and whether all else stands as it stood.

    Where the text cannot be edited, because it is of an old notation, or there is none, it is written anew, without
    its comments and with the values of its template names.
    """
    wanted = changed_net(subject.net, changes).message
    edited = _edited(subject, changes)
    if edited is not None:
        text = head + edited
        try:
            if Subject.parse(text, subject.variables).net.message == wanted:
                return text, True
        except SegcaffeError:
            pass
    return head + write(wanted), False


def changed_net(net: PlacedNet, changes: Changes) -> PlacedNet:
    """Return a net's message with the changes, and where its own layers stand."""
    result, places = NetParameter(), list[Place | None]()
    result.CopyFrom(net.message)
    del result.layer[:]
    for i, (layer, place) in enumerate(zip(net.message.layer, net.places, strict=True)):
        put = changes.layers(i)
        result.layer.extend(put)
        places += [*(None for _ in put), place]
        new = result.layer.add()
        new.CopyFrom(layer)
        for names, blobs in ((changes.bottoms, new.bottom), (changes.tops, new.top)):
            blobs[:] = [names.get(i, {}).get(name, name) for name in blobs]
        if i in changes.columns:
            new.type = CONVOLUTION
            new.convolution_param.bottom_is_im2col = True
            for name, value in changes.columns[i].items():
                setattr(new.convolution_param, name, value)
    put = changes.layers(len(net.message.layer))
    result.layer.extend(put)
    return PlacedNet(result, [*places, *(None for _ in put)])


@dataclass(frozen=True)
class _Block:
    """A layer in a text: its tokens from the name of the field to the closing brace."""

    tokens: list[Token]

    @property
    def start(self) -> int:
        return self.tokens[0][2]

    def fields(self) -> Iterator[tuple[str, int]]:
        """Names of the layer's own fields, and the indices of the tokens behind them."""
        at = 2 if self.tokens[1][1] in CLOSING else 3
        while at < len(self.tokens) - 1:
            behind = behind_value(self.tokens, at + 1) if self.tokens[at][0] == "name" else at + 1
            if behind is None:
                return
            yield self.tokens[at][1], at + 1
            at = behind


def _edited(subject: Subject, changes: Changes) -> str | None:
    """The text with the changes; None where it does not have the layers one by one."""
    blocks = _blocks(subject.text)
    # The fields input and input_dim, of old deploy files, became a layer in front.
    missing = len(subject.net.message.layer) - len(blocks)
    if not blocks or missing not in (0, 1):
        return None
    pieces: list[tuple[int, int, str]] = []
    for i, block in enumerate(blocks, missing):
        if i in changes.before:
            start = _above_comments(subject.text, block.start)
            pieces.append((start, start, "".join(changes.before[i])))
        pieces += _edits(block, changes, i)
    end = len(subject.text)
    if len(subject.net.message.layer) in changes.before:
        gap = "" if subject.text.endswith("\n") else "\n"
        pieces.append((end, end, gap + "".join(changes.before[len(subject.net.message.layer)])))
    return None if missing and 0 in changes.before else _replaced(subject.text, pieces)


def _blocks(text: str) -> list[_Block]:
    """The layers of a text in today's notation; none if it has others."""
    tokens = tokenize(text)
    found, at = [], 0
    while at < len(tokens) - 1:
        behind = behind_value(tokens, at + 1) if tokens[at][0] == "name" else at + 1
        if behind is None or tokens[at][1] == "layers":
            return []
        if tokens[at][1] == "layer":
            found.append(_Block(tokens[at:behind]))
        at = behind
    return found


def _above_comments(text: str, offset: int) -> int:
    """The start of the line of an offset, or of the comments right above it."""
    start = text.rfind("\n", 0, offset) + 1
    if text[start:offset].strip():
        return offset
    while start and text[text.rfind("\n", 0, start - 1) + 1 : start].lstrip().startswith("#"):
        start = text.rfind("\n", 0, start - 1) + 1
    # Comments at the top of a file are about all of it.
    return start or text.rfind("\n", 0, offset) + 1


def _edits(block: _Block, changes: Changes, index: int) -> Iterator[tuple[int, int, str]]:
    """What changes within a layer: start, end and new text of each piece."""
    new_names: Mapping[str, Mapping[str, str]] = {
        "bottom": changes.bottoms.get(index, {}),
        "top": changes.tops.get(index, {}),
    }
    columns = changes.columns.get(index)
    for name, at in block.fields():
        if name in new_names:
            kind, text, offset = block.tokens[at + 1]
            if kind == "string" and text[1:-1] in new_names[name]:
                yield offset, offset + len(text), f'"{escaped(new_names[name][text[1:-1]])}"'
        elif name == "type" and columns is not None:
            _, text, offset = block.tokens[at + 1]
            if text[1:-1] != CONVOLUTION:
                yield offset, offset + len(text), f'"{CONVOLUTION}"'
        elif name == "convolution_param" and columns is not None:
            opening = at + (block.tokens[at][1] == ":")
            offset = block.tokens[opening][2] + 1
            further = "".join(f" {option}: {value}" for option, value in columns.items())
            yield offset, offset, f" bottom_is_im2col: true{further}"


def _replaced(text: str, pieces: list[tuple[int, int, str]]) -> str:
    parts, copied = list[str](), 0
    for start, end, new in sorted(pieces, key=lambda piece: piece[:2]):
        parts += (text[copied:start], new)
        copied = end
    return "".join([*parts, text[copied:]])
