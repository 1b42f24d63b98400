"""What a net is made of: its blobs, and its layers with the blobs that each reads and makes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from segcaffe.blob import Blob, Buffer
from segcaffe.blob.vectors import BlobVec, RawBlobVec
from segcaffe.device.host_memory import in_units
from segcaffe.device.memory import out_of_memory
from segcaffe.errors import DeviceError, GraphError
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.graph.graph import Graph, Node
from segcaffe.layers.base import Layer
from segcaffe.net.sharing import ParamTable
from segcaffe.proto import caffe_pb2

Side = Literal["data", "diff"]


@dataclass(eq=False)
class Step:
    """A layer with its blobs, as a pass over the net takes it.

    Attributes
    ----------
    loss_weights:
        For each top the weight of its sum in the loss.
    needs_backward, bottom_needs_backward:
        Whether the layer runs backward, and for each bottom whether the gradient is wanted.
    """

    node: Node
    layer: Layer
    bottom: RawBlobVec
    top: RawBlobVec
    loss_weights: list[float]
    needs_backward: bool = False
    bottom_needs_backward: list[bool] = field(default_factory=list)
    _shapes: tuple[tuple[int, ...], ...] | None = None

    def fit(self) -> bool:
        """Reshape the layer where a bottom's shape has changed, or it wants that always; whether shapes changed."""
        if self.layer.reshape_always or self._shapes != tuple([blob.shape for blob in self.bottom]):
            return self.reshape()
        return False

    def reshape(self) -> bool:
        """Reshape the layer and its tops for the bottoms' present shapes; returns whether these have changed."""
        self.layer.reshape(self.bottom, self.top)
        before, self._shapes = self._shapes, tuple([blob.shape for blob in self.bottom])
        for blob, weight in zip(self.top, self.loss_weights, strict=True):
            if weight:
                blob.diff[...] = weight
        return self._shapes != before

    def loss(self) -> float:
        """What the tops add to the net's loss."""
        loss = 0.0
        for blob, weight in zip(self.top, self.loss_weights, strict=True):
            if weight:
                loss += weight * float(blob.array.sum(dtype=np.float64))
        return loss

    def backward(self) -> None:
        """Run the layer backward; GraphError where a gradient is wanted that it cannot give."""
        for j, wanted in enumerate(self.bottom_needs_backward):
            if wanted and not self.layer.allows_gradient(j):
                raise GraphError(
                    f'{self.layer.where}: gives no gradient to its bottom {j} ("{self.node.param.bottom[j]}"), but '
                    "layers below it learn. Write propagate_down: false for that bottom, or lr_mult: 0 below."
                )
        self.layer.backward(self.top, self.bottom_needs_backward, self.bottom)


def no_room(node: Node, top: Sequence[Blob], error: MemoryError, direction: str = "") -> DeviceError:
    """The error where a layer found too little memory: what its tops take is part of what it says."""
    sizes = ", ".join(f"{'x'.join(map(str, blob.shape)) or 'a scalar'} ({in_units(blob.nbytes)})" for blob in top)
    made = f"The layer's tops are {sizes}." if any(blob.count for blob in top) else ""
    return out_of_memory(f"{node.where}{direction}", error, node.name, node.place, made)


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


@dataclass(eq=False)
class Parts:
    """A net that has been built.

    Attributes
    ----------
    blobs:
        By index, as the graph numbers them.
    steps:
        One for each node of the graph, in order.
    """

    graph: Graph
    phase: int
    dtype: np.dtype[Any]
    blobs: BlobVec
    steps: list[Step]
    params: ParamTable
    numbers: Numbers

    @cached_property
    def learns(self) -> bool:
        """Whether the net runs backward where its memory is planned."""
        asked = self.phase != caffe_pb2.TEST or self.graph.force_backward
        return asked and any(step.needs_backward for step in self.steps)

    def missing_gradients(self, names: Iterable[str], first: int, last: int) -> list[str]:
        """Those of the blobs whose gradient no layer from ``first`` down to ``last`` computes, and no loss gives."""
        given: set[int] = set()
        for step in self.steps[last : first + 1]:
            if step.needs_backward:
                given.update(itertools.compress(step.node.bottoms, step.bottom_needs_backward))
            given.update(itertools.compress(step.node.tops, step.loss_weights))
        read = {blob for node in self.graph.nodes for blob in node.bottoms}
        numbers = {name: number for number, name in enumerate(self.graph.blob_names)}
        return [name for name in names if numbers[name] in read and numbers[name] not in given]
