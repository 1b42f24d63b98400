"""A copy of an ONNX file whose outputs are other blobs of its graph: a way to read them that every program has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segcaffe.export.runtimes.base import RuntimeRefusedError

_IN_MEMORY = 1 << 30
"""Bytes above which the copy is a file, its weights beside it."""


@contextmanager
def with_outputs(file: Path, blobs: Sequence[str]) -> Iterator[Path | bytes]:
    """Give a copy that computes these blobs and nothing else: its content, or a file that is removed in the end."""
    import onnx

    model = onnx.load(file)
    if not set(blobs) <= set(_shapes(model.graph)):
        model = onnx.shape_inference.infer_shapes(model)
    _cut(model.graph, blobs)
    if model.ByteSize() <= _IN_MEMORY:
        yield model.SerializeToString()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        onnx.save(model, path, save_as_external_data=True)
        yield path


def _cut(graph: Any, blobs: Sequence[str]) -> None:
    """Make the blobs the outputs, and leave out the nodes and weights that none of them needs."""
    shapes = _shapes(graph)
    made = {name for node in graph.node for name in node.output}
    if missing := [name for name in blobs if name not in made]:
        raise RuntimeRefusedError(f"The file has no blob {', '.join(missing)} that a node makes.")
    needed, kept = set(blobs), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _read(node)
    outputs = [_value(name, shapes.get(name)) for name in blobs]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, items in ((graph.node, kept[::-1]), (graph.output, outputs), (graph.initializer, weights)):
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        del field[:]
        field.extend(copies)


def _shapes(graph: Any) -> dict[str, Any]:
    """What the file says of the shapes of its values, by name."""
    return {value.name: value for value in [*graph.value_info, *graph.input, *graph.output]}


def _read(node: Any) -> set[str]:
    """Names that a node reads, the graphs inside it included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            names |= set().union(*(_read(inner) for inner in graph.node), {output.name for output in graph.output})
    return names


def _value(name: str, known: Any) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None) if known is None else known
