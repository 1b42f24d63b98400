"""Identities taken out of a graph where no name is lost by it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from segcaffe.export.onnx.graph import names_read, rename_in


def without_identities(nodes: Sequence[Any], fixed: Set[str]) -> list[Any]:
    """Nodes without Identities; ``fixed`` are the names that stay: of inputs, outputs, blobs and constants.

    A value that only has a name of ours takes the one that the Identity gives it. Those that stay and that no node
    reads come last: ONNX Runtime 1.32 drops them and renames what they read, in nodes behind them only, and then does
    not find what a Pad before a Conv or an AveragePool reads.
    """
    renamed: dict[str, str] = {}
    kept = []
    for node in nodes:
        if node.op_type == "Identity" and not node.domain:
            source, target = _newest(renamed, node.input[0]), node.output[0]
            if target not in fixed:
                renamed[target] = source
                continue
            if source not in fixed:
                renamed[source] = target
                continue
        kept.append(node)
    newest = {name: _newest(renamed, name) for name in renamed}
    for node in kept:
        rename_in(node, newest)
    read = {name for node in kept for name in names_read(node)}
    return sorted(kept, key=lambda node: node.op_type == "Identity" and node.output[0] not in read)


def _newest(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name
