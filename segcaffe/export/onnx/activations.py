"""Layers that map each element by itself."""

from __future__ import annotations

import math

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.neuron.relu import ReLU


@maps("ReLU")
def relu(layer: ReLU, emit: Emitter) -> str:
    """Relu, LeakyRelu with a negative_slope, Clip where there are limits."""
    value = str(emit.node("LeakyRelu", emit.input, alpha=layer.slope) if layer.slope else emit.node("Relu", emit.input))
    return limited(emit, value, layer.low, layer.high)


def limited(emit: Emitter, value: str, low: float, high: float) -> str:
    """The value held in a range, whose ends may be infinite."""
    if not (math.isfinite(low) or math.isfinite(high)):
        return value
    return emit.clip(value, low if math.isfinite(low) else None, high if math.isfinite(high) else None)
