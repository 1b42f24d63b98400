"""Folding: BatchNorm, Scale and ReLU behind a convolution become part of it, in nets that only run forward.

With stored statistics the first two multiply and shift each channel, so

    ReLU(scale * ((W x + b) - mean) / deviation + shift) = ReLU(factor * W x + shift'),

and the kernels of Convolution, Deconvolution and InnerProduct do all of it while a result is in a register or in the
cache. This is done only where the layers work in place on the convolution's top, so that no blob is missing: all that
differs is that the top has its final values as soon as the convolution has run. Factors and shifts are computed anew in
each pass, from whatever the blobs hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.dense.inner_product import InnerProduct
from segcaffe.layers.dense.windowed import WindowedLayer
from segcaffe.layers.neuron.relu import ReLU
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.net.graph import Graph, Node
from segcaffe.net.masked_convolution import MaskedConvolution
from segcaffe.proto import caffe_pb2


class Folded(Layer):
    """Mixin: a layer that does the work of the layers in ``followers`` as well."""

    followers: tuple[Layer, ...] = ()

    def end(self) -> dict[str, Any]:
        """The followers' factors and shifts, with the layer's own bias, and their slope below 0."""
        end: dict[str, Any] = super().end()  # type: ignore[misc]
        for layer in self.followers:
            if isinstance(layer, ReLU):
                end["negative_slope"] = layer.slope
            else:
                end["scale"], end["bias"] = _affine(layer, end.get("scale"), end["bias"])
        for name in ("scale", "bias"):
            if end.get(name) is not None:
                end[name] = end[name].astype(self.dtype)
        return end


class FoldedMasked(Folded, MaskedConvolution):
    """A convolution of masked columns whose weights have the followers' factors."""

    def parameters(self) -> tuple[Any, Any]:
        """Weight and bias with the followers' factors and shifts."""
        weight, end = self.blobs[0].array, self.end()
        rows = weight.reshape(self.num_output, -1) * end["scale"][:, None]
        return rows.reshape(weight.shape), end["bias"]


def _affine(layer: Layer, factor: Any, shift: Any) -> tuple[Any, Any]:
    """Factors and shifts, None for 1 and 0, followed by those of a BatchNorm or a Scale."""
    factor, shift = 1.0 if factor is None else factor, 0.0 if shift is None else shift
    if isinstance(layer, BatchNorm):
        mean, deviation = layer.stored_statistics()
        return factor / deviation, (shift - mean) / deviation
    assert isinstance(layer, Scale)
    scale, offset = layer.parameters()
    return factor * scale, shift * scale + offset


class Idle(Layer):
    """Mixin: a layer whose work another does."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the top has its values already."""


def fold(graph: Graph) -> Graph:
    """Return the graph with BatchNorm, Scale and ReLU folded into the convolutions before them, if nothing learns."""
    if graph.force_backward or any(_has_loss(node) for node in graph.nodes):
        return graph
    nodes, folded = list(graph.nodes), {}
    for i, node in enumerate(graph.nodes):
        followers = _followers(graph, i) if _can_lead(node) else ()
        if followers:
            folded[i] = followers
            mixin = FoldedMasked if issubclass(node.cls, MaskedConvolution) else Folded
            nodes[i] = replace(node, cls=type(node.cls.__name__, (mixin, node.cls), {"__doc__": node.cls.__doc__}))
        for j in followers:
            cls = graph.nodes[j].cls
            nodes[j] = replace(nodes[j], cls=type(cls.__name__, (Idle, cls), {"__doc__": cls.__doc__}))
    return replace(graph, nodes=nodes, folded=folded)


def link(graph: Graph, layers: list[Layer]) -> None:
    """Tell each convolution of a built net which layers it stands in for."""
    for i, followers in graph.folded.items():
        layer = layers[i]
        if isinstance(layer, Folded):
            layer.followers = tuple(layers[j] for j in followers)


def _has_loss(node: Node) -> bool:
    return node.cls.loss or any(node.param.loss_weight)


def _can_lead(node: Node) -> bool:
    """Whether a layer can do the work of those behind it: it makes channels on axis 1."""
    if issubclass(node.cls, InnerProduct):
        return node.param.inner_product_param.axis == 1
    return issubclass(node.cls, WindowedLayer) and len(node.tops) == 1 and node.param.convolution_param.axis == 1


def _followers(graph: Graph, index: int) -> tuple[int, ...]:
    """The BatchNorm, Scale and ReLU, in this order, that work in place on a layer's top before others read it."""
    blob = graph.nodes[index].tops[0]
    kinds: list[Callable[[Node], bool]] = [_is_stored_norm, _is_channel_scale, _is_relu]
    if issubclass(graph.nodes[index].cls, MaskedConvolution):
        kinds.pop()
    found: list[int] = []
    for i in range(index + 1, len(graph.nodes)):
        node = graph.nodes[i]
        if blob not in node.bottoms:
            continue
        place = next((k for k, fits in enumerate(kinds) if fits(node)), None)
        if place is None or node.bottoms != [blob] or node.tops != [blob]:
            break
        found.append(i)
        kinds = kinds[place + 1 :]
    return tuple(found)


def _is_stored_norm(node: Node) -> bool:
    options = node.param.batch_norm_param
    stored = options.use_global_stats if options.HasField("use_global_stats") else node.param.phase == caffe_pb2.TEST
    updates = node.param.phase == caffe_pb2.TRAIN and options.update_global_stats
    return issubclass(node.cls, BatchNorm) and stored and not updates


def _is_channel_scale(node: Node) -> bool:
    options = node.param.scale_param
    return issubclass(node.cls, Scale) and len(node.bottoms) == 1 and options.axis == 1 and options.num_axes == 1


def _is_relu(node: Node) -> bool:
    return issubclass(node.cls, ReLU)
