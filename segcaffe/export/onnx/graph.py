"""A graph of ONNX that grows: nodes, constants, and names that are used once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segcaffe.export.onnx.package import onnx_module

Array = np.ndarray[Any, Any]


class GraphBuilder:
    """Nodes and constants of a model in the making.

    Attributes
    ----------
    opset:
        The version of the operators.
    nodes:
        `NodeProto` in order of execution.
    arrays:
        Values of the initialisers by name. They become part of a model at the very end: messages of more than 2 GiB
        cannot be copied.
    """

    def __init__(self, opset: int) -> None:
        self.onnx = onnx_module()
        self.opset = opset
        self.nodes: list[Any] = []
        self.arrays: dict[str, Array] = {}
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
        known = self.arrays.get(name)
        if known is not None and known.dtype == values.dtype and np.array_equal(known, values, equal_nan=True):
            return name
        name = self.unique(name)
        self.arrays[name] = values
        return name

    def values(self, name: str) -> Array | None:
        """The values of an initialiser, by its name or by that of its Identity; None for other names."""
        for node in self.nodes:
            if node.op_type == "Identity" and node.output[0] == name:
                name = node.input[0]
        return self.arrays.get(name)

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, attributes: Mapping[str, Any]
    ) -> None:
        """Add a node."""
        given = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), list(outputs), domain=domain, **given))

    def rename(self, old: str, new: str, first: int) -> None:
        """Give a value another name in the nodes from ``first`` on."""
        for node in self.nodes[first:]:
            rename_in(node, {old: new})

    def fill(self, graph: Any) -> None:
        """Put the nodes, and the constants that they read, into a `GraphProto`."""
        graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in names_read(node)}
        for name, values in self.arrays.items():
            if name in read:
                write_tensor(graph.initializer.add(), name, values)


def write_tensor(tensor: Any, name: str, values: Array) -> None:
    """Fill a `TensorProto` where it is."""
    tensor.name, tensor.data_type = name, onnx_module().helper.np_dtype_to_tensor_dtype(values.dtype)
    tensor.dims.extend(values.shape)
    tensor.raw_data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def names_read(node: Any) -> Iterator[str]:
    """The values that a node reads; those of a graph within it, too, which may be of the graph around."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from names_read(inner)


def rename_in(node: Any, names: Mapping[str, str]) -> None:
    """Give the values that a node reads and makes other names, old ones to new; those in a graph within it, too."""
    for part in (node.input, node.output):
        for i, name in enumerate(part):
            part[i] = names.get(name, name)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            rename_in(inner, names)


def _new(wish: str, names: set[str]) -> str:
    """The name wished for, or that with a number, which is among the names from now on."""
    name, number = wish, 1
    while name in names:
        number += 1
        name = f"{wish}_{number}"
    names.add(name)
    return name
