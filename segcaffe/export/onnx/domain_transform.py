"""The domain transform: a filter that goes over rows and columns, each pixel reading the one before it."""

from __future__ import annotations

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.export.onnx.subgraph import Step
from segcaffe.layers.segaware.domain_transform import DomainTransform


@maps("DomainTransform", "DomainTransformForwardOnly")
def domain_transform(layer: DomainTransform, emit: Emitter) -> str:
    """Of each iteration four passes, each a Scan; weights are 0 outside of an image's size."""
    emit.static(1, 2, 3)
    inside = _inside(emit)
    strength = emit.plus(emit.times(emit.inputs[1], layer.recursion.edge_factor), 1)
    values = emit.input
    for rate in layer.recursion.rates:
        weights = emit.clip(emit.node("Exp", emit.times(strength, rate)), layer.recursion.min_weight, 1)
        weights = emit.mul(weights, inside)
        for axis in (3, 2):
            if emit.shape()[axis] > 1:
                values = _forth_and_back(emit, values, weights, axis)
    return values


def _inside(emit: Emitter) -> str:
    """1 within each image's size, 0 outside: (N, 1, H, W)."""
    height, width = emit.shape()[2:]
    sizes = emit.reshape(emit.inputs[2], [emit.sizes()[0], int(np.prod(emit.shape(2)[1:])), 1, 1])
    rows, columns = (
        emit.node(
            "Less",
            emit.constant(np.arange(extent, dtype=np.float32).reshape(shape), name),
            emit.node("Floor", emit.slice(sizes, [place], [place + 1], [1])),
        )
        for place, name, extent, shape in ((0, "rows", height, (1, 1, -1, 1)), (1, "columns", width, (1, 1, 1, -1)))
    )
    return emit.cast(emit.node("And", rows, columns), np.float32)


def _forth_and_back(emit: Emitter, values: str, weights: str, axis: int) -> str:
    """One pass in each direction; the weight of two neighbours lies at the later one."""
    extent = emit.shape()[axis]
    later = emit.slice(weights, [1], [extent], [axis])
    first, others = emit.split(values, axis, [1, extent - 1])
    values = emit.concat([first, _pass(emit, (first, others, later), axis, backwards=False)], axis)
    others, last = emit.split(values, axis, [extent - 1, 1])
    return emit.concat([_pass(emit, (last, others, later), axis, backwards=True), last], axis)


def _pass(emit: Emitter, given: tuple[str, str, str], axis: int, backwards: bool) -> str:
    """From where it begins, over the other values and their weights: x + w (previous - x)."""
    begin, values, weights = given
    step = Step(emit)
    previous, value, weight = (step.given(name, 3) for name in ("previous", "value", "weight"))
    filtered = step.add(value, step.mul(weight, step.sub(previous, value)))
    both = [(filtered, 3)]
    slices = {values: axis, weights: axis}
    return step.scan([emit.squeeze(begin, [axis])], slices, both, both, axis=axis, backwards=backwards)[1]
