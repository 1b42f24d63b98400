"""Layers of nets that learn from the labels of whole images, and their like over channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.base import Layer
from segcaffe.layers.segaware.bias_channel import BiasChannel
from segcaffe.layers.segaware.channel_reduce import ChannelReduce
from segcaffe.layers.segaware.replicate import Replicate
from segcaffe.layers.segaware.unique_label import UniqueLabel


@maps("ChannelReduce")
def channel_reduce(layer: ChannelReduce, emit: Emitter) -> str:
    """A reduction over the channels of each group."""
    batch, channels, *spatial = emit.sizes()
    groups = emit.reshape(emit.input, [batch, layer.num_channels, channels // layer.num_channels, *spatial])
    return emit.reduce("ReduceMax" if layer.maximum else "ReduceSum", groups, [2], keepdims=False)


@maps("Replicate")
def replicate(layer: Replicate, emit: Emitter) -> str:
    """Copies joined."""
    return emit.concat([emit.input] * layer.copies, layer.param.replicate_param.axis % emit.ndim())


@maps("SpatialProduct")
def spatial_product(layer: Layer, emit: Emitter) -> str:
    """The map is broadcast over the channels."""
    return emit.mul(*emit.inputs)


@maps("BiasChannel")
def bias_channel(layer: BiasChannel, emit: Emitter) -> str:
    """What each channel is raised by: of each image by its labels, or of each pixel by its own."""
    labels = emit.cast(emit.inputs[1], np.int32)
    classes = np.arange(emit.shape()[1], dtype=np.int32)[None, :, None]
    if layer.per_pixel:
        return emit.add(emit.input, _of_pixels(layer, emit, labels, classes[..., None]))
    labels = emit.reshape(labels, [emit.sizes(1)[0], 1, emit.shape(1)[1]])
    own = emit.node("And", _none_of(emit, labels, layer.ignored), _are(emit, labels, classes))
    bias = emit.constant(np.where(classes == 0, layer.bg_bias, layer.fg_bias), "bias")
    raised = emit.reduce("ReduceSum", emit.where(own, bias, emit.number(0, "nothing")), [2])
    return emit.add(emit.input, emit.unsqueeze(raised, [3]))


def _of_pixels(
    layer: BiasChannel, emit: Emitter, labels: str, classes: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
) -> str:
    known = _none_of(emit, labels, layer.ignored)
    own = emit.node("And", known, _are(emit, labels, classes))
    raised = emit.mul(emit.cast(own, np.float32), emit.number(layer.fg_bias, "fg_bias"))
    if not layer.has_background:
        return raised
    background = emit.mul(emit.cast(known, np.float32), emit.number(layer.bg_bias, "bg_bias"))
    return emit.where(emit.constant(classes == layer.background, "background"), background, raised)


@maps("UniqueLabel")
def unique_label(layer: UniqueLabel, emit: Emitter) -> str:
    """Image by image its different labels, cut to max_labels; more of them, an error in the net, are left out."""
    emit.fixed_batch("each image has labels of its own number, which are found one image after the other")
    items = emit.shape()[0]
    rest = emit.constant(np.full(layer.max_labels, -1, np.float32), "none")
    rows = []
    for image in emit.split(emit.input, 0, [1] * items):
        labels = emit.reshape(image, [-1])
        if layer.ignored:
            counted = _none_of(emit, emit.cast(labels, np.int32), layer.ignored)
            labels = emit.node("Compress", labels, counted, axis=0)
        if layer.forced:
            labels = emit.concat([labels, emit.constant(np.array(layer.forced, np.float32), "forced")], 0)
        found = emit.concat([emit.node("Unique", labels, axis=0, sorted=1), rest], 0)
        rows.append(emit.slice(found, [0], [layer.max_labels], [0]))
    return emit.as_top(emit.concat(rows, 0))


def _are(emit: Emitter, labels: str, others: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> str:
    return str(emit.node("Equal", labels, emit.constant(others, "classes")))


def _none_of(emit: Emitter, labels: str, ignored: Sequence[int]) -> str:
    """Which of some int32 are none of these; there must be one."""
    known = [emit.node("Not", emit.node("Equal", labels, emit.constant(np.int32(one), "ignored"))) for one in ignored]
    together: str = known[0]
    for one in known[1:]:
        together = emit.node("And", together, one)
    return together
