"""Layers that ONNX cannot say, as operators of a domain of the user's own."""

from __future__ import annotations

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.layers.base import Layer
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import write as as_text


def write(layer: Layer, emit: Emitter, domain: str) -> list[str]:
    """One node of the layer's type: bottoms, then parameters; its text prototxt is the attribute ``layer``."""
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(layer.param)
    del param.blobs[:]
    parameters = [emit.parameter(i) for i in range(len(layer.blobs))]
    outputs = len(emit.top)
    if not outputs:
        return []
    return list(emit.node(layer.type, *emit.inputs, *parameters, outputs=outputs, domain=domain, layer=as_text(param)))
