"""What a mapping writes by: names, shapes and parameters of its layer, and the nodes that it adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from segcaffe.blob import Blob
from segcaffe.errors import Place
from segcaffe.export.onnx.graph import GraphBuilder
from segcaffe.export.onnx.left_out import REASONS
from segcaffe.export.onnx.operators import Operators
from segcaffe.export.refusals import Refusal
from segcaffe.layers.base import Blobs, Layer

Array = np.ndarray[Any, Any]
Axes = frozenset[int]
"""Axes of a blob that grow with the batch."""


class LayerRefusedError(Exception):
    """A layer cannot be written; carried to the frame, which goes on and tells of all of them."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class FixedBatchError(Exception):
    """A layer can be written only for the batch that the net has; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Emitter(Operators):
    """Writes one layer.

    Attributes
    ----------
    layer:
        The layer, set up and reshaped.
    bottom, top:
        Its blobs, for their shapes.
    inputs:
        Names of the bottoms' values.
    opset:
        The version of the operators.
    dynamic:
        Whether the batch is symbolic. Then nothing that is written may have the present batch in it: see `sizes`,
        `top_sizes` and `fixed_batch`.
    open, top_open:
        For each bottom, and each top, the axes whose extent shows only when the net runs: how many boxes were found.
    """

    def __init__(
        self,
        graph: GraphBuilder,
        layer: Layer,
        blobs: tuple[Blobs, Blobs],
        inputs: Sequence[str],
        grows: tuple[Sequence[Axes], Sequence[Axes]],
        open_axes: tuple[Sequence[Axes], Sequence[Axes]],
        place: Place | None = None,
        owner: Callable[[Blob], str] | None = None,
    ) -> None:
        self.layer = layer
        self.bottom, self.top = blobs
        self.inputs = list(inputs)
        self.grows, self.top_grows = grows
        self.open, self.top_open = open_axes
        self.opset = graph.opset
        self._graph, self._place, self._owner = graph, place, owner
        self.dynamic = any(self.grows) or any(self.top_grows)

    # Shapes.

    @property
    def input(self) -> str:
        """Name of the first bottom's value."""
        return self.inputs[0]

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Shape of a bottom, with the batch that the net has now."""
        return self.bottom[index].shape

    def ndim(self, index: int = 0) -> int:
        """Number of axes of a bottom."""
        return self.bottom[index].ndim

    def top_shape(self, index: int = 0) -> tuple[int, ...]:
        """Shape of a top, with the batch that the net has now."""
        return self.top[index].shape

    def sizes(self, index: int = 0) -> list[int]:
        """Shape of a bottom for `reshape`: -1 for the axis that grows with the batch, or that is open."""
        return self._sizes(self.shape(index), self.grows[index], self.open[index])

    def top_sizes(self, index: int = 0) -> list[int]:
        """Shape of a top for `reshape`: -1 for the axis that grows with the batch, or that is open."""
        return self._sizes(self.top_shape(index), self.top_grows[index], self.top_open[index])

    def as_top(self, value: str, index: int = 0) -> str:
        """The value in the shape of a top."""
        return self.reshape(value, self.top_sizes(index))

    def as_bottom(self, value: str, index: int = 0) -> str:
        """The value in the shape of a bottom."""
        return self.reshape(value, self.sizes(index))

    def static(self, *axes: int, index: int = 0) -> None:
        """See that these axes of a bottom (all, if none is named) do not grow with the batch, and none is open."""
        wanted = {axis % self.ndim(index) for axis in axes} or set(range(self.ndim(index)))
        if wanted & self.open[index]:
            self.refuse(f"it works along an axis of bottom {index} whose extent shows only when the net runs")
        if wanted & self.grows[index]:
            self.fixed_batch(f"its bottom {index} is worked on along the batch")

    def _sizes(self, shape: Sequence[int], grows: Axes, is_open: Axes) -> list[int]:
        if len(grows) > 1:
            self.fixed_batch("two axes of a blob grow with the batch")
        if is_open and len(grows | is_open) > 1:
            self.refuse("two axes of a blob have an extent that shows only when the net runs")
        return [-1 if axis in grows | is_open else extent for axis, extent in enumerate(shape)]

    # Values.

    def node(self, op: str, *inputs: str, outputs: int | None = None, domain: str = "", **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of ``outputs`` names. Attributes of None are left out.

        An empty name stands for an optional input that is not given.
        """
        names = [self._graph.unique(f"{self.layer.name}/{op}") for _ in range(outputs or 1)]
        self._graph.node(op, inputs, names, domain, attributes)
        return names if outputs is not None else names[0]

    def constant(self, values: Any, name: str = "constant") -> str:
        """An initialiser ``<layer>/<name>``; numbers of Python become float32 and int64."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        return self._graph.constant(array, f"{self.layer.name}/{name}")

    def parameter(self, index: int) -> str:
        """The initialiser of one of the layer's parameters, ``<layer>/<index>``; shared ones have one."""
        blob = self.layer.blobs[index]
        name = self._owner(blob) if self._owner else f"{self.layer.name}/{index}"
        return self._graph.constant(blob.data, name)

    def parameter_as(self, index: int, values: Array) -> str:
        """An initialiser in place of a parameter, made of its values: shaped, scaled or folded."""
        return self._graph.constant(np.asarray(values, np.float32), f"{self.layer.name}/{index}")

    def values(self, index: int) -> Array:
        """The values of one of the layer's parameters."""
        return self.layer.blobs[index].data

    def constant_values(self, name: str) -> Array | None:
        """The values of an initialiser, where a name is that of one."""
        return self._graph.values(name)

    # What cannot be written.

    def refuse(self, reason: str, advice: str = "") -> NoReturn:
        """Give up the layer: why, and what to do other than cutting the net before it (which is told anyway)."""
        raise LayerRefusedError(self._refusal(reason, advice))

    def refuse_type(self) -> NoReturn:
        """Give up a layer whose type is not written."""
        self.refuse(REASONS.get(self.layer.type, "this type is not written as ONNX"))

    def fixed_batch(self, reason: str, advice: str = "") -> None:
        """Say that the layer can be written only for the batch at hand; goes on where that is what is written."""
        if any(self.open):
            self.refuse(f"{reason}, and an extent shows only when the net runs", advice)
        if self.dynamic:
            raise FixedBatchError(self._refusal(reason, advice))

    def _refusal(self, reason: str, advice: str) -> Refusal:
        return Refusal(self.layer.name, self.layer.type, self._place, reason, advice)
