"""A net as the source of a PyTorch module: statements from its layers, and the class around them."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

from segcaffe.export.refusals import Refusal, RefusedError
from segcaffe.export.torch import lines
from segcaffe.export.torch.families import mappings, not_written
from segcaffe.export.torch.flow import Flow, Value, flow_of
from segcaffe.export.torch.initial import reset_lines
from segcaffe.export.torch.learning import freezing, group_lines, rates_of
from segcaffe.export.torch.names import Names, class_name, member, plain
from segcaffe.export.torch.registry import Mapping
from segcaffe.export.torch.site import CannotWriteError, Contents, Entry, Site
from segcaffe.export.torch.snippets import IMPORTED, imports, pieces, with_needs
from segcaffe.fusion.fuse import fuse
from segcaffe.graph.graph import Node
from segcaffe.net.net import Net

_LONGEST_ARGUMENT = 72
"""A longer expression becomes a statement of its own before it is an argument."""


@dataclass
class Statement:
    """An assignment: its targets, expression, comment, and whether the next layer may overwrite its value."""

    targets: list[str]
    expression: str
    comment: str
    value: Value | None
    fresh: bool


@dataclass
class Written:
    """A written module: its source, and what its state is made of.

    Attributes
    ----------
    class_name:
        The module's class in the source.
    entries:
        The tensors of its state.
    arguments, outputs:
        Blobs that ``forward`` takes, in order, and those that it returns: one as it is, several by name.
    losses:
        For outputs that count as losses their weights.
    hidden:
        Blobs that the module does not make: arguments, splits, what lies between layers that are written as one.
    """

    source: str
    class_name: str
    entries: list[Entry]
    arguments: list[str]
    outputs: list[str]
    losses: dict[str, float]
    hidden: frozenset[str]


def write(net: Net, origin: str = "", notes: Sequence[str] = (), also: Collection[str] = ()) -> Written:
    """Write a net; RefusedError naming every layer that has no counterpart.

    Parameters
    ----------
    net:
        The net, in the phase that is to be written.
    origin, notes:
        What the file's first line says behind the net's name, and further lines.
    also:
        Blobs that ``forward`` returns besides the net's outputs.
    """
    return _Writer(net, origin, notes, also).write()


class _Writer:
    """Goes through a net's layers once, and then puts the file together."""

    def __init__(self, net: Net, origin: str, notes: Sequence[str], also: Collection[str]) -> None:
        self.net, self.origin, self.notes = net, origin, notes
        self.graph = net.graph if net.graph.lazy else fuse(net.graph)
        self.contents = Contents()
        weights = {
            blob: weight
            for node, given in zip(net.graph.nodes, net.loss_weights, strict=True)
            for blob, weight in zip(node.tops, given, strict=True)
            if weight
        }
        self.weights = weights
        asked = {i for i, name in enumerate(self.graph.blob_names) if name in also}
        self.flow: Flow = flow_of(self.graph, set(weights) | asked)
        self.variables = Names.of_variables(pieces())
        self.named: dict[Value, str] = {}
        self.statements: list[Statement] = []
        self.refused: list[Refusal] = []

    def write(self) -> Written:
        """The whole file."""
        for value in self.flow.arguments:
            self.named[value] = self.variables.take(self.blob_name(value), "blob")
        for place, index in enumerate(self.flow.order):
            self._layer(place, index)
        if self.refused:
            raise RefusedError(self.refused, "Or cut the net before such layers: --until BLOB.")
        name = class_name(self.net.name)
        # Where a piece, or what is imported, is called so.
        name = f"{name}Net" if name in pieces() or name in IMPORTED else name
        body = self._class(name)
        parts = with_needs(self.contents.pieces)
        constants = [piece.text for piece in parts if piece.constant]
        body = "\n\n\n".join([*(piece.text for piece in parts if not piece.constant), body])
        title = f"{plain(self.net.name) or 'A net'}{self.origin}."
        head = [f'"""{title}', "", *self.notes, '"""', ""] if self.notes else [f'"""{title}"""', ""]
        between = ["", *constants, "", ""] if constants else ["", ""]
        source = "\n".join([*head, *imports("\n".join([*constants, body])), *between, body, ""])
        outputs = [self.blob_name(value) for value in self.flow.outputs]
        arguments = [self.blob_name(value) for value in self.flow.arguments]
        made = {value.blob for values in self.flow.tops.values() for value in values}
        names = frozenset(name for blob, name in enumerate(self.graph.blob_names) if blob not in made)
        weights = self.weights
        losses = {self.blob_name(v): weights[v.blob] for v in self.flow.outputs if v.blob in weights}
        return Written(source, name, self.contents.entries, arguments, outputs, losses, names)

    # Layers.

    def _layer(self, place: int, index: int) -> None:
        node = self.graph.nodes[index]
        try:
            self._write_layer(place, index, node)
        except CannotWriteError as error:
            reason, _, advice = str(error).partition(". ")
            self.refused.append(Refusal(node.name, node.param.type, node.place, reason, advice))
            for value in self.flow.tops[index]:
                self.named.setdefault(value, "_")

    def _write_layer(self, place: int, index: int, node: Node) -> None:
        mapping = self._mapping(node)
        bottoms, tops = self.flow.bottoms[index], self.flow.tops[index]
        fresh = self._is_overwritable(bottoms[0]) if bottoms else False
        in_place = bool(bottoms and tops) and tops[0].blob == bottoms[0].blob
        previous = self._absorbed(mapping, bottoms)
        given = [self.named[value] for value in bottoms]
        if previous is not None:
            self.statements.pop()
            given[0] = previous.expression
        flags = list(node.param.propagate_down) or [True] * len(given)
        given = [text if wanted else f"{text}.detach()" for text, wanted in zip(given, flags, strict=False)]
        blobs = self.net.blob_list
        site = Site(
            self.net.layers[index],
            node,
            given,
            [tuple(blobs[value.blob].shape) for value in bottoms],
            [tuple(blobs[value.blob].shape) for value in tops],
            in_place and fresh,
            self.contents,
            self.net.layers[self.flow.followers[index]] if index in self.flow.followers else None,
        )
        self._assign(place, tops, mapping, mapping.write(site))

    def _mapping(self, node: Node) -> Mapping:
        name = "MaskedConvolution" if "im2col" in node.further else node.param.type
        if name in not_written():
            raise CannotWriteError(not_written()[name])
        if name not in mappings():
            raise CannotWriteError("the type has no counterpart. Cut the net before it")
        return mappings()[name]

    def _is_overwritable(self, value: Value) -> bool:
        """Whether a layer in place may write there: no gradient needs the values, and nobody else reads them."""
        if not self.statements or value.maker is None or len(value.readers) != 1:
            return False
        last = self.statements[-1]
        return last.value is value and last.fresh

    def _absorbed(self, mapping: Mapping, bottoms: list[Value]) -> Statement | None:
        """The statement before, where its expression is to stand in this one's."""
        if not (mapping.wraps and self.statements and bottoms):
            return None
        last = self.statements[-1]
        alone = len(bottoms[0].readers) == 1 and not bottoms[0].is_output
        fits = len(last.expression) <= _LONGEST_ARGUMENT
        return last if last.value is bottoms[0] and alone and fits else None

    def _assign(self, place: int, tops: list[Value], mapping: Mapping, made: str | list[str]) -> None:
        expressions = [made] if isinstance(made, str) else made
        targets = [self._name(place, value, first=value is tops[0]) for value in tops]
        for value, target in zip(tops, targets, strict=True):
            self.named[value] = target
        if len(expressions) == 1:
            made_one = tops[0] if len(tops) == 1 else None
            comment = self._comment(tops[0], targets[0]) if len(tops) == 1 else ""
            self.statements.append(Statement(targets, expressions[0], comment, made_one, mapping.fresh))
            return
        for value, target, expression in zip(tops, targets, expressions, strict=True):
            if target != "_":
                self.statements.append(
                    Statement([target], expression, self._comment(value, target), value, mapping.fresh)
                )

    def _name(self, place: int, value: Value, first: bool) -> str:
        """``x`` where the next layer alone reads the value, else the blob's name; ``_`` where nobody does."""
        if not value.readers:
            if not value.is_output:
                return "_"
        elif first and not value.is_output and set(value.readers) == set(self.flow.order[place + 1 : place + 2]):
            return "x"
        return self.variables.take(self.blob_name(value), "blob")

    def _comment(self, value: Value, target: str) -> str:
        shape, name = tuple(self.net.blob_list[value.blob].shape), plain(self.blob_name(value))
        return str(shape) if target == name else f"{name}: {shape}"

    def blob_name(self, value: Value) -> str:
        """The blob's name; of a loss that has none the layer's, numbered where several layers have that name."""
        name = self.graph.blob_names[value.blob]
        return self._unnamed[value.blob] if name == "(automatic)" else name

    @cached_property
    def _unnamed(self) -> dict[int, str]:
        """The names of blobs that have none in the graph, no two of them alike."""
        found: dict[int, str] = {}
        taken = set(self.graph.blob_names)
        for blob, name in enumerate(self.graph.blob_names):
            if name == "(automatic)":
                layer = self.graph.producer(blob).name
                candidates = chain([layer], (f"{layer}_{number}" for number in count(2)))
                # A layer may be called like a blob that it does not write.
                found[blob] = next(one for one in candidates if one not in taken)
                taken.add(found[blob])
        return found

    # The class.

    def _class(self, name: str) -> str:
        contents, rates = self.contents, rates_of(self.net)
        reset = reset_lines(contents)
        made = [line for key, text in contents.modules.items() for line in lines.statement(f"self.{key} = {text}", 8)]
        buffers = [f'self.register_buffer("{key}", {text})' for key, text in contents.buffers.items()]
        made += [line for text in buffers for line in lines.statement(text, 8)]
        made += [f"        {member(key)} = {member(other)}" for key, other in contents.ties]
        made += freezing(contents, rates)
        made += ["        self.reset_parameters()"] if reset else []
        text = [f"class {name}(nn.Module):", *self._docstring()]
        if made:
            text += ["", "    def __init__(self) -> None:", "        super().__init__()", *made]
        if reset:
            text += ["", "    def reset_parameters(self) -> None:", '        """Initial values, as the fillers say."""']
            text += [line for one in reset for line in lines.statement(one.lstrip(), 8 + len(one) - len(one.lstrip()))]
        text += ["", *self._forward()]
        for extra in (self._loss(), group_lines(contents, rates)):
            text += ["", *extra] if extra else []
        return "\n".join(text)

    def _docstring(self) -> list[str]:
        inputs = ", ".join(f"{plain(self.blob_name(v))} {tuple(self._shape(v))}" for v in self.flow.arguments)
        outputs = ", ".join(f"{plain(self.blob_name(v))} {tuple(self._shape(v))}" for v in self.flow.outputs)
        text = f"From {inputs or 'nothing'} to {outputs or 'nothing'}."
        if len(text) < lines.WIDTH - 12:
            return [f'    """{text}"""']
        wrapped = textwrap.wrap(text, lines.WIDTH - 4, initial_indent='    """', subsequent_indent="    ")
        return [*wrapped, '    """']

    def _shape(self, value: Value) -> tuple[int, ...]:
        return tuple(self.net.blob_list[value.blob].shape)

    def _forward(self) -> list[str]:
        given = ["self", *(f"{self.named[value]}: Tensor" for value in self.flow.arguments)]
        outputs = self.flow.outputs
        kind = "Tensor" if len(outputs) == 1 else "dict[str, Tensor]"
        text = lines.statement(f"def forward({', '.join(given)}) -> {kind}:", 4)
        last = self.statements[-1] if self.statements else None
        if last is not None and outputs == [last.value]:
            comment = last.comment
            body, end = self.statements[:-1], lines.statement(f"return {last.expression}", 8, comment)
        else:
            body, end = self.statements, self._return()
        for one in body:
            target = ", ".join(one.targets)
            text += lines.statement(f"{target} = {one.expression}" if target else one.expression, 8, one.comment)
        return [*text, *end]

    def _return(self) -> list[str]:
        outputs = self.flow.outputs
        if len(outputs) == 1:
            return [f"        return {self.named[outputs[0]]}"]
        pairs = ", ".join(f"{_quoted(self.blob_name(value))}: {self.named[value]}" for value in outputs)
        return lines.statement(f"return {{{pairs}}}", 8)

    def _loss(self) -> list[str]:
        """The method that adds up the losses, where that is more than one loss as it is."""
        weighted = [(value, self.weights[value.blob]) for value in self.flow.outputs if value.blob in self.weights]
        if not weighted or (len(weighted) == len(self.flow.outputs) == 1 and weighted[0][1] == 1):
            return []
        several = len(self.flow.outputs) > 1
        terms = []
        for value, weight in weighted:
            term = f"outputs[{_quoted(self.blob_name(value))}]" if several else "outputs"
            term += ".sum()" if self._shape(value) not in ((), (1,)) else ""
            terms.append(term if weight == 1 else f"{weight:g} * {term}")
        kind = "dict[str, Tensor]" if several else "Tensor"
        return [
            f"    def loss(self, outputs: {kind}) -> Tensor:",
            '        """What is to be minimised."""',
            *lines.statement(f"return {' + '.join(terms)}", 8),
        ]


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text) + '"'
