"""Graphs made smaller: what follows a convolution channel by channel becomes part of its weights and its bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.export.onnx.graph import Array, GraphBuilder, names_read

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def simplified(graph: GraphBuilder, nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """Nodes of a graph, with factors and shifts of channels folded into the Conv, ConvTranspose or Gemm before them.

    A blob that only such a node read is no longer there; those in ``outputs`` stay. The graph's constants change.
    """
    folding = _Folding(graph, nodes, outputs)
    kept = []
    for node in nodes:
        if not folding.take(node):
            kept.append(node)
            folding.makers.update(dict.fromkeys(node.output, node))
    return kept


class _Affine(NamedTuple):
    """y = factor·x + shift, each one number or one for each channel."""

    factor: Array
    shift: Array


class _Folding:
    """The graph's constants and who reads what, while nodes are taken out.

    Attributes
    ----------
    makers:
        For each value the node that makes it, among those that are kept.
    """

    def __init__(self, graph: GraphBuilder, nodes: Sequence[Any], outputs: Sequence[str]) -> None:
        self._graph, self._outputs = graph, set(outputs)
        self._readers = Counter(name for node in nodes for name in names_read(node))
        self.makers: dict[str, Any] = {}

    def take(self, node: Any) -> bool:
        """Make a node part of the one before it, if it can be."""
        if node.domain or not (node.op_type in _ARITHMETIC or node.op_type == "BatchNormalization"):
            return False
        first = node.input[0]
        before = self.makers.get(first)
        if before is None or self._readers[first] > 1 or first in self._outputs:
            return False
        weights = [self._values(name) for name in before.input[1:]]
        if before.op_type not in ("Conv", "ConvTranspose", "Gemm") or any(values is None for values in weights):
            return False
        if any(self._readers[name] > 1 for name in before.input[1:]):
            return False
        affine = self._affine(node, self._values(before.input[1]), before)
        if affine is None:
            return False
        self._fold(before, affine)
        before.output[0] = node.output[0]
        self.makers[node.output[0]] = before
        return True

    def _affine(self, node: Any, weight: Array | None, before: Any) -> _Affine | None:
        """What a node does to channels; None where it is something else, or its numbers are no constants."""
        assert weight is not None
        constants = [self._values(name) for name in node.input[1:]]
        if any(values is None for values in constants):
            return None
        if node.op_type == "BatchNormalization":
            scale, shift, mean, variance = (np.asarray(values, np.float64) for values in constants)
            eps = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
            factor = scale / np.sqrt(variance + eps)
            return _Affine(factor, shift - mean * factor)
        value = _by_channel(constants[0], _channels(before, weight), weight.ndim)
        if value is None:
            return None
        one, zero = np.ones(()), np.zeros(())
        return {
            "Mul": _Affine(value, zero),
            "Div": _Affine(1 / value, zero) if value.all() else None,
            "Add": _Affine(one, value),
            "Sub": _Affine(one, -value),
        }[str(node.op_type)]

    def _fold(self, node: Any, affine: _Affine) -> None:
        weight = self._values(node.input[1])
        assert weight is not None
        channels = _channels(node, weight)
        factor = np.broadcast_to(affine.factor, channels)
        bias = self._values(node.input[2]) if len(node.input) > 2 else np.zeros(channels)
        assert bias is not None
        self._set(node.input[1], weight * _over_weight(node, weight, factor))
        if len(node.input) < 3:
            name = self._graph.constant(np.zeros(channels, np.float32), node.input[1].removesuffix("/0") + "/1")
            self._readers[name] = 1
            node.input.append(name)
        self._set(node.input[2], bias * factor + affine.shift)

    def _values(self, name: str) -> Array | None:
        return self._graph.arrays.get(name)

    def _set(self, name: str, values: Array) -> None:
        self._graph.arrays[name] = values.astype(np.float32)


def _attribute(node: Any, name: str) -> int:
    found = [attribute.i for attribute in node.attribute if attribute.name == name]
    return int(found[0]) if found else int(name == "group")


def _channels(node: Any, weight: Array) -> int:
    """How many channels a node makes."""
    if node.op_type == "ConvTranspose":
        return int(weight.shape[1]) * _attribute(node, "group")
    return int(weight.shape[1 if node.op_type == "Gemm" and not _attribute(node, "transB") else 0])


def _over_weight(node: Any, weight: Array, factor: Array) -> Array:
    """A factor for each channel in a shape that multiplies the weight."""
    if node.op_type == "ConvTranspose":
        group = _attribute(node, "group")
        by_row = np.repeat(factor.reshape(group, -1), weight.shape[0] // group, axis=0)
        return np.asarray(by_row.reshape(*weight.shape[:2], *(1,) * (weight.ndim - 2)))
    if node.op_type == "Gemm" and not _attribute(node, "transB"):
        return factor[None]
    return factor.reshape(-1, *(1,) * (weight.ndim - 1))


def _by_channel(values: Array | None, channels: int, ndim: int) -> Array | None:
    """A constant as one number or one for each channel, where it broadcasts as such over ``ndim`` axes."""
    assert values is not None
    if values.size == 1 and values.ndim <= ndim:
        return values.astype(np.float64).reshape(())
    shape = (1,) * (ndim - values.ndim) + values.shape
    return values.astype(np.float64).reshape(-1) if shape == (1, channels, *(1,) * (ndim - 2)) else None
