"""What an exported file says of itself: sizes of its inputs, its outputs, names of its values, what it prepares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.errors import ExportError
from segcaffe.export.onnx.package import onnx_module
from segcaffe.export.proof.compare import Array
from segcaffe.net.net import Net

OPEN = "?"
"""An axis that a file leaves open without a name."""


def symbol(axis: str) -> str:
    """The size that an axis is, or is a multiple of: ``batch`` of ``2*batch``."""
    return axis.rpartition("*")[2]


def times(axis: str) -> int:
    """How many times that size it is."""
    factor = axis.rpartition("*")[0]
    return int(factor) if factor.isdecimal() else 1


@dataclass(frozen=True)
class Described:
    """An exported file.

    Attributes
    ----------
    dimensions:
        For each input its axes: numbers, or names of sizes that are left open.
    outputs:
        Names of the outputs.
    values:
        Names of all values that the file computes and that can be read.
    prepared:
        For inputs that the file prepares: order of channels, mean and scale, as far as it has them.
    """

    dimensions: Mapping[str, Sequence[int | str]]
    outputs: tuple[str, ...]
    values: frozenset[str] = frozenset()
    prepared: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def smallest(self) -> dict[str, tuple[int, ...]]:
        """The inputs' shapes with 1 for every size that is left open."""
        return {
            name: tuple(axis if isinstance(axis, int) else times(axis) for axis in axes)
            for name, axes in self.dimensions.items()
        }

    def prepare(self, name: str, values: Array) -> Array:
        """What the net has to be given where the file is given ``values``."""
        steps = self.prepared.get(name, {})
        if "order" in steps:
            values = values[:, steps["order"]]
        if "mean" in steps:
            values = values - steps["mean"]
        return values * steps["scale"] if "scale" in steps else values


def describe_onnx(file: Path) -> Described:
    """Read an ONNX file without the weights beside it. Raises ExportError."""
    onnx = onnx_module()
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:
        raise ExportError(f"{file} is no ONNX file that can be read: {' '.join(str(error).split())}.") from error
    graph = model.graph
    inputs = {value.name: _axes(value) for value in graph.input if not _is_weight(graph, value.name)}
    return Described(
        inputs,
        tuple(value.name for value in graph.output),
        frozenset(name for node in graph.node for name in node.output),
        {name: _prepared(graph, name) for name in inputs},
    )


def blob_of(output: str, blobs: Container[str], inputs: Iterable[str]) -> str:
    """The blob of an output; what layers make of an input in place is called after the input and the layer."""
    if output in blobs:
        return output
    return max((name for name in inputs if output.startswith(f"{name}/")), key=len, default=output)


def value_names(net: Net, described: Described) -> dict[tuple[int, int], str]:
    """What a file calls the tops of layers, by the layer's index and the top's number, as far as it has them.

    The last version of a blob bears the blob's name, the ones before it that and the layer's.
    """
    left = Counter(top for node in net.graph.nodes for top in node.tops)
    found = {}
    for index, node in enumerate(net.graph.nodes):
        for number, top in enumerate(node.tops):
            left[top] -= 1
            blob = net.graph.blob_names[top]
            name = f"{blob}/{node.name}" if left[top] else blob
            if name in described.values:
                found[index, number] = name
    return found


def _axes(value: Any) -> tuple[int | str, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or OPEN for dim in dims)


def _is_weight(graph: Any, name: str) -> bool:
    return any(tensor.name == name for tensor in graph.initializer)


def _prepared(graph: Any, name: str) -> dict[str, Array]:
    """The steps before an input's first reader, which bear its name."""
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in graph.initializer}
    found = {step: weights.get(f"{name}/{step}") for step in ("order", "mean", "scale")}
    return {step: np.asarray(numpy_helper.to_array(tensor)) for step, tensor in found.items() if tensor is not None}
