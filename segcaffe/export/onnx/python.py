"""Layers that nets name as Python modules: those that are ours where the modules are not installed."""

from __future__ import annotations

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.regions import proposed
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.base import Layer
from segcaffe.layers.python.enet import SpatialDropoutLayer
from segcaffe.layers.python.rcnn import ProposalLayer
from segcaffe.layers.python.stand_in import StandIn


@maps("Python")
def python_layer(layer: Layer, emit: Emitter) -> list[str]:
    """The proposals of Faster R-CNN and ENet's dropout; what others do only their code knows."""
    own = layer.public
    if isinstance(own, ProposalLayer):
        return _proposals(own, emit)
    if isinstance(own, SpatialDropoutLayer):
        if own.drops:
            emit.refuse("its param_str says phase TRAIN: it draws at random", "Write 'phase': 'TEST' there")
        return [emit.times(emit.input, 1 / (1 - own.ratio))]
    param = layer.param.python_param
    if isinstance(own, StandIn):
        emit.refuse(f"{param.module}.{param.layer} is for training: it draws at random, or reads data")
    emit.refuse(f"it runs Python code, {param.module}.{param.layer}, and a model holds operators only")


def _proposals(own: ProposalLayer, emit: Emitter) -> list[str]:
    emit.static(1, 2, 3)
    anchors = own.anchors(*emit.shape()[2:]).astype(np.float32)
    rows, scores = proposed(emit, anchors, own.proposing)
    return [rows, emit.unsqueeze(scores, [1, 2, 3])][: len(emit.top)]
