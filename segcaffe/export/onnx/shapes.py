"""Layers that move values: joined, cut, turned, repeated, under other shapes."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.blob.fillers import RANDOM
from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.operators import INT64_MAX
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.base import Layer
from segcaffe.layers.shape.batch_to_space_nd import BatchToSpaceND
from segcaffe.layers.shape.concat import Concat
from segcaffe.layers.shape.continuation_indicator import ContinuationIndicator
from segcaffe.layers.shape.gather import Gather
from segcaffe.layers.shape.permute import Permute
from segcaffe.layers.shape.rearranged import Rearranged
from segcaffe.layers.shape.reduction import Reduction
from segcaffe.layers.shape.reverse import Reverse
from segcaffe.layers.shape.slice import Slice
from segcaffe.layers.shape.space_to_batch_nd import SpaceToBatchND
from segcaffe.layers.shape.tile import Tile
from segcaffe.layers.source.dummy_data import DummyData
from segcaffe.proto.caffe_pb2 import ReductionParameter

_REDUCTIONS = {
    ReductionParameter.SUM: "ReduceSum",
    ReductionParameter.MEAN: "ReduceMean",
    ReductionParameter.ASUM: "ReduceL1",
    ReductionParameter.SUMSQ: "ReduceSumSquare",
}


@maps("Concat")
def concat(layer: Concat, emit: Emitter) -> str:
    """Concat."""
    return emit.concat(emit.inputs, layer.axis % emit.ndim())


@maps("Slice")
def cut(layer: Slice, emit: Emitter) -> list[str]:
    """Split."""
    axis = layer.axis % emit.ndim()
    emit.static(axis)
    return emit.split(emit.input, axis, [blob.shape[axis] for blob in emit.top])


@maps("Split")
def split(layer: Layer, emit: Emitter) -> list[str]:
    """The same value under each name."""
    return emit.inputs * len(emit.top)


@maps("Silence")
def silence(layer: Layer, emit: Emitter) -> None:
    """Nothing."""


@maps("Flatten")
def flatten(layer: Layer, emit: Emitter) -> str:
    """Flatten where all axes but the first are joined, otherwise Reshape."""
    if emit.top_shape() == (*emit.shape()[:1], math.prod(emit.shape()[1:])):
        return str(emit.node("Flatten", emit.input, axis=1))
    return emit.as_top(emit.input)


@maps("Reshape", "Squeeze")
def reshape(layer: Layer, emit: Emitter) -> str:
    """Reshape."""
    if layer.type == "Squeeze" and not layer.param.squeeze_param.axis:
        emit.fixed_batch("it leaves out every axis of extent 1, which the batch may be", "Name the axes: axis: 2")
    return emit.as_top(emit.input)


@maps("Permute")
def permute(layer: Permute, emit: Emitter) -> str:
    """Transpose."""
    return emit.transpose(emit.input, layer.axes)


@maps("Tile")
def tile(layer: Tile, emit: Emitter) -> str:
    """Tile."""
    repeats = [1] * emit.ndim()
    repeats[layer.axis] = layer.tiles
    return str(emit.node("Tile", emit.input, emit.ints(repeats, "repeats")))


@maps("Reverse")
def reverse(layer: Reverse, emit: Emitter) -> str:
    """Slice with steps of -1."""
    axes = sorted({axis % emit.ndim() for axis in layer.param.reverse_param.axis or [0]})
    count = len(axes)
    return emit.slice(emit.input, [-1] * count, [-INT64_MAX] * count, axes, [-1] * count)


@maps("DepthToSpace", "Reorg", "ShuffleChannel", "SpaceToDepth", "Transpose")
def rearranged(layer: Rearranged, emit: Emitter) -> str:
    """The bottom under another shape, its axes in another order."""
    view, axes, _ = layer.order(emit.shape())
    first = -1 if 0 in emit.grows[0] else view[0]
    return emit.as_top(emit.transpose(emit.reshape(emit.input, [first, *view[1:]]), axes))


@maps("Gather")
def gather(layer: Gather, emit: Emitter) -> list[str]:
    """Gather, or nothing where there is but one process."""
    if not layer.chooses:
        return emit.inputs
    options = layer.param.gather_param
    indices = np.array(layer.indices, np.int64).reshape(layer.shape)
    return [
        str(emit.node("Gather", value, emit.constant(indices, "indices"), axis=options.axis % emit.ndim(i)))
        for i, value in enumerate(emit.inputs)
    ]


@maps("BatchReindex")
def batch_reindex(layer: Layer, emit: Emitter) -> str:
    """Gather of items."""
    return str(emit.node("Gather", emit.input, emit.cast(emit.inputs[1], np.int64), axis=0))


@maps("Reduction")
def reduction(layer: Reduction, emit: Emitter) -> str:
    """A reduction over the last axes, times the coefficient."""
    axes = list(range(layer.axis % emit.ndim(), emit.ndim())) if emit.ndim() else []
    return emit.times(emit.reduce(_REDUCTIONS[layer.operation], emit.input, axes, keepdims=False), layer.coeff)


@maps("Parameter")
def parameter(layer: Layer, emit: Emitter) -> str:
    """The parameter."""
    return emit.parameter(0)


@maps("DummyData")
def dummy_data(layer: DummyData, emit: Emitter) -> list[str]:
    """Constants."""
    if any(filler.type in RANDOM for filler in layer.fillers):
        emit.refuse("its values are drawn anew in each pass", "Make it an Input layer")
    return [emit.constant(blob.data, f"top_{i}") for i, blob in enumerate(emit.top)]


@maps("ContinuationIndicator")
def continuation_indicator(layer: ContinuationIndicator, emit: Emitter) -> str:
    """A constant: 0 at the first step, then 1."""
    emit.fixed_batch("its values do not depend on its bottom, only their number does")
    return emit.constant(np.r_[0.0, np.ones(emit.top_shape()[0] - 1)][:, None] * np.ones(emit.top_shape()), "cont")


@maps("SpaceToBatchND")
def space_to_batch(layer: SpaceToBatchND, emit: Emitter) -> str:
    """Pad, then blocks to the front."""
    rest = emit.ndim() - 1 - len(layer.block)
    padded = emit.pad(emit.input, [(0, 0), *layer.margins, *[(0, 0)] * rest])
    large = layer.large.shape
    pairs = [n for extent, size in zip(large[1:], layer.block, strict=False) for n in (extent // size, size)]
    behind = list(large[1 + len(layer.block) :])
    seen = emit.reshape(padded, [-1, *pairs, *behind])
    return emit.as_top(emit.transpose(seen, _blocks_first(len(layer.block), rest)))


@maps("BatchToSpaceND")
def batch_to_space(layer: BatchToSpaceND, emit: Emitter) -> str:
    """Blocks from the front to their places, then Slice."""
    count, rest = len(layer.block), emit.ndim() - 1 - len(layer.block)
    seen = emit.reshape(emit.input, [*layer.block, -1, *emit.shape()[1:]])
    order = _blocks_first(count, rest)
    large = emit.transpose(seen, [order.index(axis) for axis in range(len(order))])
    whole = emit.reshape(large, [-1, *layer.large.shape[1:]])
    axes = [axis for axis, pair in enumerate(layer.margins, 1) if any(pair)]
    if not axes:
        return whole
    starts = [layer.margins[axis - 1][0] for axis in axes]
    stops = [layer.large.shape[axis] - layer.margins[axis - 1][1] for axis in axes]
    return emit.slice(whole, starts, stops, axes)


def _blocks_first(count: int, rest: int) -> list[int]:
    """The order of (N, D1, b1, D2, b2, .., rest) that gives (b1, b2, .., N, D1, D2, .., rest)."""
    last = 2 * count + 1
    return [*range(2, last, 2), 0, *range(1, last, 2), *range(last, last + rest)]
