"""Layers that choose among classes."""

from __future__ import annotations

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.metric.arg_max import ArgMax


@maps("ArgMax")
def arg_max(layer: ArgMax, emit: Emitter) -> str:
    """ArgMax and ReduceMax, or TopK of the values from the last to the first: of equal ones the larger index wins."""
    value, axis = (emit.input, layer.axis) if layer.axis is not None else (_as_rows(emit), 1)
    axis %= emit.ndim() if layer.axis is not None else 2
    emit.static(*(range(1, emit.ndim()) if layer.axis is None else [axis]))
    extent = layer._view[1]
    if layer.top_k == 1:
        indices, values = emit.arg_max(value, axis), emit.reduce("ReduceMax", value, [axis])
    else:
        indices, values = _largest(emit, value, axis, extent, layer.top_k)
    if layer.axis is not None:
        return values if layer.values else emit.cast(indices, np.float32)
    parts = [emit.cast(indices, np.float32), *([values] if layer.values else [])]
    return emit.as_top(emit.concat(parts, 1))


def _as_rows(emit: Emitter) -> str:
    return emit.input if emit.ndim() == 2 else str(emit.node("Flatten", emit.input, axis=1))


def _largest(emit: Emitter, value: str, axis: int, extent: int, count: int) -> tuple[str, str]:
    """Indices and values of the largest; TopK prefers the smaller index, so it sees the values turned around."""
    turned = emit.slice(value, [-1], [-(2**62)], [axis], [-1])
    values, indices = emit.node("TopK", turned, emit.ints([count], "k"), outputs=2, axis=axis)
    return emit.sub(emit.ints(extent - 1, "last"), indices), values
