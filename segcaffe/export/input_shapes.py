"""Shapes of a net's inputs, set before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segcaffe.errors import ExportError
from segcaffe.proto import caffe_pb2


def set_shapes(
    net: caffe_pb2.NetParameter, wanted: Mapping[str, tuple[int, ...]], batch: int | None, where: str
) -> None:
    """Give the Input layers of a net the shapes that are ``wanted``, and a batch to those that have the first one's.

    Raises ExportError, which begins with ``where``, for a name that is none of an input, a shape of another number of
    axes, and for an input without any shape.
    """
    known: dict[str, Any] = {}
    unshaped = set()
    for layer in net.layer:
        if layer.type == "Input":
            unshaped |= _give_each_its_own(layer)
            known.update(zip(layer.top, layer.input_param.shape, strict=False))
    for name, shape in wanted.items():
        if name not in known:
            told = f'there is no input "{name}" to give a shape to. Its inputs: {", ".join(known) or "none"}.'
            raise ExportError(f"{where}: {told}")
        if name not in unshaped and len(shape) != len(known[name].dim):
            raise ExportError(
                f'{where}: input "{name}" has {len(known[name].dim)} axes: {tuple(known[name].dim)}. '
                f"Received: {tuple(shape)}."
            )
        known[name].dim[:] = shape
    for name in unshaped - wanted.keys():
        raise ExportError(f'{where}: input "{name}" has no shape. Say it: --shape {name}=1,CHANNELS,HEIGHT,WIDTH.')
    if batch is not None:
        _set_batch(list(known.values()), batch)


def _give_each_its_own(layer: caffe_pb2.LayerParameter) -> set[str]:
    """Write an Input layer's shape once for each top; the tops for which there is none."""
    shapes, tops = layer.input_param.shape, layer.top
    unshaped = set() if shapes else set(tops)
    first = shapes[0] if len(shapes) == 1 else None
    while len(shapes) < len(tops):
        shapes.add()
        if first is not None:
            shapes[-1].CopyFrom(first)
    return unshaped


def _set_batch(shapes: list[Any], batch: int) -> None:
    with_batch = [shape for shape in shapes if shape.dim]
    first = with_batch[0].dim[0] if with_batch else 0
    for shape in with_batch:
        if shape.dim[0] == first:
            shape.dim[0] = batch
