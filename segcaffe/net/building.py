"""From a graph to a net that can run: blobs, layers set up one after the other, and which of them run backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.blob.blocked import BlockedBlob
from segcaffe.blob.vectors import BlobVec, RawBlobVec
from segcaffe.errors import GraphError, about_layer
from segcaffe.fusion.lazy import LazyBlob
from segcaffe.fusion.running import wrap
from segcaffe.graph.backward import BackwardPlan, BackwardPlanner
from segcaffe.graph.graph import Graph, Node
from segcaffe.layers.base import Layer
from segcaffe.net.parts import Numbers, Parts, Step, no_room
from segcaffe.net.sharing import ParamTable
from segcaffe.weights.loading import take_own_blobs


def build(graph: Graph, phase: int, dtype: np.dtype[Any]) -> Parts:
    """Make the blobs and set up the layers; errors say which layer they are about, and where that stands."""
    blobs = _make_blobs(graph, dtype)
    planner, params, steps = BackwardPlanner(graph), ParamTable(), list[Step]()
    for index, node in enumerate(graph.nodes):
        with about_layer(node.name, node.place):
            step = _set_up(node, blobs, dtype)
            params.add(step.layer)
            planner.visit(index, _learns(step.layer))
        steps.append(step)
    numbers = Numbers(blobs)
    _plan_backward(
        graph, blobs, steps, planner.finish([[weight != 0 for weight in step.loss_weights] for step in steps])
    )
    return Parts(graph, phase, dtype, blobs, steps, params, numbers)


def _make_blobs(graph: Graph, dtype: np.dtype[Any]) -> BlobVec:
    """Blobs of no size yet, of the kinds that fusion asks for."""
    on_demand = graph.on_demand()
    blocked = frozenset[int]().union(*(entry.same for entry in graph.blocked.values()))
    if dtype != np.float32:
        blocked = frozenset()

    def make(index: int) -> Blob:
        if index in blocked:
            return BlockedBlob((0,), dtype)
        return LazyBlob((0,), dtype) if index in on_demand else Blob((0,), dtype)

    return BlobVec(map(make, range(len(graph.blob_names))))


def _set_up(node: Node, blobs: BlobVec, dtype: np.dtype[Any]) -> Step:
    layer = node.make(dtype)
    bottom, top = (RawBlobVec(blobs[i] for i in indices) for indices in (node.bottoms, node.tops))
    layer.check_counts(len(bottom), len(top))
    try:
        layer.setup(bottom, top)
        take_own_blobs(layer)
        step = Step(node, layer, bottom, top, _loss_weights(node, len(top)))
        step.reshape()
    except MemoryError as error:
        raise no_room(node, top, error) from error
    return step


def _loss_weights(node: Node, num_top: int) -> list[float]:
    given = list(node.param.loss_weight)
    if given and len(given) != num_top:
        raise GraphError(
            f"{node.where}: loss_weight needs one value for each of its {num_top} tops. Received: {len(given)}."
        )
    if not given and node.cls.loss:
        given = [1.0]
    return given + [0.0] * (num_top - len(given))


def _learns(layer: Layer) -> bool:
    """Set which of the layer's parameters want gradients; whether any does."""
    specs = layer.param.param
    lr_mults = [specs[i].lr_mult if i < len(specs) else 1.0 for i in range(len(layer.blobs))]
    layer.param_propagate_down = [lr != 0 for lr in lr_mults]
    return any(layer.param_propagate_down)


def _plan_backward(graph: Graph, blobs: BlobVec, steps: list[Step], plan: BackwardPlan) -> None:
    """Tell the layers what is wanted of them; then wrap those that fusion makes run in another way."""
    for step, needs, bottoms in zip(steps, plan.layers, plan.bottoms, strict=True):
        # With force_backward the plan asks every layer; those that could compute nothing are left alone.
        step.needs_backward = needs and (any(bottoms) or bool(step.layer.blobs))
        step.bottom_needs_backward = bottoms
        step.layer.runs_backward = step.needs_backward
        if graph.force_backward:
            step.layer.param_propagate_down = [True] * len(step.layer.blobs)
    layers = [step.layer for step in steps]
    wrap(graph, blobs, layers, plan.bottoms)
    for step, layer in zip(steps, layers, strict=True):
        step.layer = layer
