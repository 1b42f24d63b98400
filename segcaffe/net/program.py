"""A running net written down as a program for the planner (see `segcaffe.plan`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from segcaffe import device
from segcaffe.blob import Blob, Buffer
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.layers.base import LayerMemory
from segcaffe.plan import program
from segcaffe.proto import caffe_pb2

if TYPE_CHECKING:
    from segcaffe.net.net import Net

Side = Literal["data", "diff"]


class Numbers:
    """The numbers of the buffers of a net that has just been built, while blobs share memory as layers made them.

    Values come first, then gradients, then what each layer saves.

    Attributes
    ----------
    values, gradients:
        The number of the buffer of a blob's values, and of its gradient, by the blob's index. Those that are computed
        when they are read have no memory until then, and no number.
    blobs:
        For each buffer the blobs that use it, by their indices.
    """

    def __init__(self, blobs: Sequence[Blob]) -> None:
        self.blobs: list[list[int]] = []
        self.values = self._number(blobs, "data")
        self._first_gradient = len(self.blobs)
        self.gradients = self._number(blobs, "diff")

    def _number(self, blobs: Sequence[Blob], side: Side) -> dict[int, int]:
        known: dict[Buffer, int] = {}
        numbers: dict[int, int] = {}
        for index, blob in enumerate(blobs):
            if not isinstance(blob, LazyBlob):
                # A buffer equals only itself.
                numbers[index] = known.setdefault(blob.buffer(side), len(self.blobs))
                if numbers[index] == len(self.blobs):
                    self.blobs.append([])
                self.blobs[numbers[index]].append(index)
        return numbers

    def side(self, number: int) -> Side:
        """Whether a buffer has values or gradients."""
        return "data" if number < self._first_gradient else "diff"


def learns(net: Net) -> bool:
    """Whether the net runs backward where its memory is planned."""
    return (net.phase != caffe_pb2.TEST or net.graph.force_backward) and any(net.layer_needs_backward)


def write_program(net: Net) -> program.Program:
    """The program of a net, for its present shapes."""
    backward = [needs and learns(net) for needs in net.layer_needs_backward]
    parts = zip(net.layer_list, net.bottom_blobs, net.top_blobs, backward, strict=True)
    known = [layer.memory(bottom, top, needs) for layer, bottom, top, needs in parts]
    writer = _Writer(net)
    buffers = [writer.buffer(number) for number in range(len(net.numbers.blobs))]
    saved = [program.Buffer(layer.name, "saved", one.saved) for layer, one in zip(net.layer_list, known, strict=True)]
    return program.Program(
        steps=tuple(writer.step(i, one) for i, one in enumerate(known)),
        buffers=(*buffers, *saved),
        kept=writer.kept(),
        learns=learns(net),
        parameters=_parameters(net),
    )


class _Writer:
    def __init__(self, net: Net) -> None:
        self.net, self.graph, self.numbers = net, net.graph, net.numbers
        self.itemsize = int(net.dtype.itemsize)
        self.written = self._written()

    def _written(self) -> frozenset[int]:
        """Gradients that some layer computes; the others have no memory, or stay zero."""
        found: set[int] = set()
        for i, node in enumerate(self.graph.nodes):
            if learns(self.net) and self.net.layer_needs_backward[i]:
                wanted = itertools.compress(node.bottoms, self.net.bottom_needs_backward[i])
                found.update(self._numbers_of(wanted, self.numbers.gradients))
        return frozenset(found)

    def buffer(self, number: int) -> program.Buffer:
        blobs, values = self.numbers.blobs[number], self.numbers.side(number) == "data"
        size = max(self.net.blob_list[i].nbytes for i in blobs) if values or number in self.written else 0
        return program.Buffer(self.graph.blob_names[blobs[0]], "values" if values else "gradients", size)

    def step(self, index: int, known: LayerMemory) -> program.Step:
        node, layer, values = self.graph.nodes[index], self.net.layer_list[index], self.numbers.values
        bottoms, tops = (self._numbers_of(blobs, values) for blobs in (node.bottoms, node.tops))
        # A layer that runs when its tops are read has no part in the net's own backward pass.
        reads = (*(bottoms if known.reads_bottoms else ()), *(tops if known.reads_tops else ()))
        in_place = [b in node.bottoms for b in node.tops]
        starts = zip(node.bottoms, known.joins, strict=True) if known.joins else ()
        gradients = self._numbers_of((*node.bottoms, *node.tops), self.numbers.gradients)
        return program.Step(
            name=layer.name,
            type=layer.type,
            bottoms=bottoms,
            tops=tops,
            writes=any(in_place) or not set(tops) <= set(bottoms),
            in_place=all(in_place),
            backward=self.net.layer_needs_backward[index],
            reads=frozenset(reads if len(tops) == len(node.tops) else ()),
            gradients=self.written.intersection(gradients),
            saved=len(self.numbers.blobs) + index if known.saved else None,
            state=known.state,
            workspace=known.workspace if device.get_mode() == "CPU" else {},
            recomputes=known.recomputes and len(tops) == len(node.tops),
            joins=tuple((values[b], start * self.itemsize) for b, start in starts if b in values),
        )

    def kept(self) -> frozenset[int]:
        """Buffers that keep their memory to themselves: code outside the layers reads or writes them."""
        both = [*self.graph.inputs, *self.graph.outputs]
        for node, layer, weights in zip(self.graph.nodes, self.net.layer_list, self.net.loss_weights, strict=True):
            both += node.tops if layer.source else itertools.compress(node.tops, weights)
        values = self._numbers_of((*both, *self._readable()), self.numbers.values)
        return self.written.intersection(self._numbers_of(both, self.numbers.gradients)).union(values)

    def _readable(self) -> set[int]:
        """The blobs that the net was told to keep; for one that is computed when it is read also its sources."""
        waiting = [i for i, name in enumerate(self.graph.blob_names) if name in self.net.kept_blobs]
        found: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                if index not in self.numbers.values:
                    waiting += self.graph.producer(index).bottoms
        return found

    @staticmethod
    def _numbers_of(blobs: Iterable[int], numbers: Mapping[int, int]) -> tuple[int, ...]:
        return tuple(numbers[blob] for blob in blobs if blob in numbers)


def _parameters(net: Net) -> int:
    """Bytes of parameters, each counted once however many layers share it, and of their gradients where computed."""
    sizes: dict[tuple[Buffer, bool], int] = {}
    for layer in net.layer_list:
        for index, blob in enumerate(layer.blobs):
            sizes[blob.buffer("data"), False] = blob.nbytes
            if layer.wants_param(index) and learns(net):
                sizes[blob.buffer("data"), True] = blob.nbytes
    return sum(sizes.values())
