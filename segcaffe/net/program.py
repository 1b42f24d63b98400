"""A running net written down as a program for the planner (see `segcaffe.plan`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from segcaffe import device
from segcaffe.blob import Buffer
from segcaffe.layers.base import LayerMemory
from segcaffe.net.parts import Parts
from segcaffe.plan import program


def write_program(net: Parts, keep: frozenset[str]) -> program.Program:
    """The program of a net, for its present shapes; the blobs of the names to ``keep`` are read after a pass."""
    known = [step.layer.memory(step.bottom, step.top, step.needs_backward and net.learns) for step in net.steps]
    writer = _Writer(net)
    buffers = [writer.buffer(number) for number in range(len(net.numbers.blobs))]
    saved = [program.Buffer(step.layer.name, "saved", one.saved) for step, one in zip(net.steps, known, strict=True)]
    return program.Program(
        steps=tuple(writer.step(i, one) for i, one in enumerate(known)),
        buffers=(*buffers, *saved),
        kept=writer.kept(keep),
        learns=net.learns,
        parameters=_parameters(net),
    )


class _Writer:
    def __init__(self, net: Parts) -> None:
        self.net, self.graph, self.numbers = net, net.graph, net.numbers
        self.itemsize = int(net.dtype.itemsize)
        self.written = self._written()

    def _written(self) -> frozenset[int]:
        """Gradients that some layer computes; the others have no memory, or stay zero."""
        found: set[int] = set()
        for step in self.net.steps:
            if self.net.learns and step.needs_backward:
                wanted = itertools.compress(step.node.bottoms, step.bottom_needs_backward)
                found.update(self._numbers_of(wanted, self.numbers.gradients))
        return frozenset(found)

    def buffer(self, number: int) -> program.Buffer:
        blobs, values = self.numbers.blobs[number], self.numbers.side(number) == "data"
        size = max(self.net.blobs[i].nbytes for i in blobs) if values or number in self.written else 0
        return program.Buffer(self.graph.blob_names[blobs[0]], "values" if values else "gradients", size)

    def step(self, index: int, known: LayerMemory) -> program.Step:
        step, values = self.net.steps[index], self.numbers.values
        node, layer = step.node, step.layer
        added = self.graph.sums.get(index)
        given, made = ([*node.bottoms, added.addend], [added.total]) if added else (node.bottoms, node.tops)
        bottoms, tops = (self._numbers_of(blobs, values) for blobs in (given, made))
        # A layer that runs when its tops are read has no part in the net's own backward pass.
        reads = (*(bottoms if known.reads_bottoms else ()), *(tops if known.reads_tops else ()))
        in_place = [b in node.bottoms for b in node.tops]
        starts = zip(node.bottoms, known.joins, strict=True) if known.joins else ()
        gradients = self._numbers_of((*node.bottoms, *node.tops), self.numbers.gradients)
        handed = [node.bottoms[i] for i in known.hands_on if step.needs_backward and step.bottom_needs_backward[i]]
        top_gradient = self._numbers_of(node.tops[:1], self.numbers.gradients)
        return program.Step(
            name=layer.name,
            type=layer.type,
            bottoms=bottoms,
            tops=tops,
            writes=any(in_place) or not set(tops) <= set(bottoms),
            in_place=all(in_place),
            backward=step.needs_backward,
            reads=frozenset(reads if len(tops) == len(node.tops) else ()),
            gradients=self.written.intersection(gradients),
            saved=len(self.numbers.blobs) + index if known.saved else None,
            state=known.state,
            workspace=known.workspace if device.get_mode() == "CPU" else {},
            recomputes=known.recomputes and len(tops) == len(node.tops),
            joins=tuple((values[b], start * self.itemsize) for b, start in starts if b in values),
            hands_on=tuple(itertools.product(self._numbers_of(handed, self.numbers.gradients), top_gradient)),
        )

    def kept(self, names: frozenset[str]) -> frozenset[int]:
        """Buffers that keep their memory to themselves: code outside the layers reads or writes them."""
        both = [*self.graph.inputs, *self.graph.outputs]
        for step in self.net.steps:
            both += step.node.tops if step.layer.source else itertools.compress(step.node.tops, step.loss_weights)
        values = self._numbers_of((*both, *self._readable(names)), self.numbers.values)
        return self.written.intersection(self._numbers_of(both, self.numbers.gradients)).union(values)

    def _readable(self, names: frozenset[str]) -> set[int]:
        """The blobs that the net was told to keep; for one that is computed when it is read also its sources."""
        waiting = [i for i, name in enumerate(self.graph.blob_names) if name in names]
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


def _parameters(net: Parts) -> int:
    """Bytes of parameters, each counted once however many layers share it, and of their gradients where computed."""
    sizes: dict[tuple[Buffer, bool], int] = {}
    for layer in [step.layer for step in net.steps]:
        for index, blob in enumerate(layer.blobs):
            sizes[blob.buffer("data"), False] = blob.nbytes
            if layer.wants_param(index) and net.learns:
                sizes[blob.buffer("data"), True] = blob.nbytes
    return sum(sizes.values())
