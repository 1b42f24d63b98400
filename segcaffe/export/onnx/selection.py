"""Layers that keep some items of a batch."""

from __future__ import annotations

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.base import Layer


@maps("Filter")
def select(layer: Layer, emit: Emitter) -> list[str]:
    """The items where the selector is not 0."""
    *sources, selector = emit.inputs
    chosen = emit.squeeze(emit.node("NonZero", emit.reshape(selector, [-1])), [0])
    return [emit.node("Gather", source, chosen, axis=0) for source in sources]
