"""Identities taken out of a graph where no name is lost by it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any


def drop_identities(graph: Any, kept: Set[str]) -> None:
    """Remove the Identity nodes of a `GraphProto`; names in ``kept``, of inputs and of outputs stay.

    A value that only has a name of ours takes the one that the Identity gives it.
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
    graph.node.extend(nodes)


def _newest(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name
