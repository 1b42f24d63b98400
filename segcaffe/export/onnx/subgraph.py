"""Graphs within a graph: one step of a Scan, written by the same operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.graph import GraphBuilder
from segcaffe.export.onnx.operators import Operators


class Step(Operators):
    """What a Scan does at each step; it may read values of the graph around it.

    Parameters
    ----------
    emit:
        Writes the layer that the Scan belongs to; names begin with that layer's.
    """

    def __init__(self, emit: Emitter) -> None:
        self.opset = emit.opset
        self._emit, self._prefix = emit, f"{emit.layer.name}/step"
        self._graph = GraphBuilder(emit.opset)
        self._inputs: dict[str, int] = {}

    def given(self, name: str, ndim: int) -> str:
        """A value of the step, of so many axes: first the states, then the slices."""
        name = self._graph.unique(f"{self._prefix}/{name}")
        self._inputs[name] = ndim
        return name

    def node(self, op: str, *inputs: str, outputs: int | None = None, domain: str = "", **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of ``outputs`` names."""
        names = [self._graph.unique(f"{self._prefix}/{op}") for _ in range(outputs or 1)]
        self._graph.node(op, inputs, names, domain, attributes)
        return names if outputs is not None else names[0]

    def constant(self, values: Any, name: str = "constant") -> str:
        """An initialiser of the step."""
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        return self._graph.constant(array, f"{self._prefix}/{name}")

    def scan(
        self,
        states: Sequence[str],
        slices: Mapping[str, int],
        after: Sequence[tuple[str, int]],
        made: Sequence[tuple[str, int]] = (),
        *,
        axis: int = 0,
        backwards: bool = False,
    ) -> list[str]:
        """Add the Scan to the graph around; its values: the states after the last step, then what all steps made.

        Parameters
        ----------
        states:
            Values of the graph around, before the first step.
        slices:
            Values of the graph around that are taken apart, one slice for each step, and along which axis.
        after, made:
            Values of the step with their numbers of axes: the states, and what is joined along ``axis``.
        backwards:
            Whether the last slice comes first, and what the first step makes last.
        """
        onnx, way = self._graph.onnx, [int(backwards)]
        # A value that goes straight through needs a name of its own.
        results = [(self.node("Identity", name), ndim) for name, ndim in (*after, *made)]
        infos = [
            [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * ndim) for name, ndim in values]
            for values in (self._inputs.items(), results)
        ]
        body = onnx.helper.make_graph([], "step", *infos)
        self._graph.fill(body)
        return list(
            self._emit.node(
                "Scan",
                *states,
                *slices,
                outputs=len(results),
                body=body,
                num_scan_inputs=len(slices),
                scan_input_axes=list(slices.values()),
                scan_input_directions=way * len(slices),
                scan_output_axes=[axis] * len(made) or None,
                scan_output_directions=way * len(made) or None,
            )
        )
