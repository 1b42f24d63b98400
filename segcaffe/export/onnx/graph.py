"""A graph of ONNX that grows: nodes, initialisers, and names that are used once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segcaffe.export.onnx.package import onnx_module

Array = np.ndarray[Any, Any]


class GraphBuilder:
    """Nodes and initialisers of a model in the making.

    Attributes
    ----------
    opset:
        The version of the operators.
    nodes:
        `NodeProto` in order of execution.
    initializers:
        `TensorProto` by name.
    """

    def __init__(self, opset: int) -> None:
        self.onnx = onnx_module()
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._arrays: dict[str, Array] = {}
        self._names: set[str] = set()
        self._node_names: set[str] = set()

    def reserve(self, *names: str) -> None:
        """Keep names for those who must have them: `unique` never gives them."""
        self._names.update(names)

    def unique(self, wish: str) -> str:
        """A name that nothing has: the one wished for, or that with a number."""
        return _new(wish, self._names)

    def unique_node(self, wish: str) -> str:
        """A name that no node has; values have names of their own."""
        return _new(wish, self._node_names)

    def constant(self, values: Array, name: str) -> str:
        """Add an initialiser; one of that name with the same values is used again."""
        values = np.asarray(values)
        known = self._arrays.get(name)
        if known is not None and known.dtype == values.dtype and np.array_equal(known, values, equal_nan=True):
            return name
        name = self.unique(name)
        self._arrays[name] = values
        self.initializers[name] = self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def values(self, name: str) -> Array | None:
        """The values of an initialiser, by its name or by that of its Identity; None for other names."""
        for node in self.nodes:
            if node.op_type == "Identity" and node.output[0] == name:
                name = node.input[0]
        return self._arrays.get(name)

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, attributes: Mapping[str, Any]
    ) -> None:
        """Add a node."""
        given = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), list(outputs), domain=domain, **given))

    def rename(self, old: str, new: str, first: int) -> None:
        """Give a value another name in the nodes from ``first`` on."""
        for node in self.nodes[first:]:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new


def _new(wish: str, names: set[str]) -> str:
    """The name wished for, or that with a number, which is among the names from now on."""
    name, number = wish, 1
    while name in names:
        number += 1
        name = f"{wish}_{number}"
    names.add(name)
    return name
