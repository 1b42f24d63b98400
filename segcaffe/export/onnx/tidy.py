"""Identities taken out of a graph where no name is lost by it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any


def drop_identities(graph: Any, kept: Set[str]) -> None:
    """Remove the Identity nodes of a `GraphProto`; names in ``kept``, of inputs and of outputs stay.

    A value that only has a name of ours takes the one that the Identity gives it. Those that stay and that no node
    reads come last: ONNX Runtime 1.32 drops them and renames what they read, in nodes behind them only, and then does
    not find what a Pad before a Conv or an AveragePool reads.
    """
    fixed = {info.name for info in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer} | kept
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type == "Identity" and not node.domain:
            source, target = node.input[0], node.output[0]
            source = _newest(renamed, source)
            if target not in fixed:
                renamed[target] = source
                continue
            if source not in fixed:
                renamed[source] = target
                continue
        nodes.append(node)
    del graph.node[:]
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = _newest(renamed, name)
    read = {name for node in nodes for name in node.input}
    graph.node.extend(sorted(nodes, key=lambda node: node.op_type == "Identity" and node.output[0] not in read))


def _newest(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name
