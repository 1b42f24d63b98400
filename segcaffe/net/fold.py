"""Folding: BatchNorm and Scale behind a convolution become part of its weights, in nets that only run forward.

With stored statistics both multiply and shift each channel, so

    scale * ((W x + b) - mean) / deviation + shift = W' x + b',

and the convolution computes the last form at once. This is done only where the layers work in place on the
convolution's top, as they do in residual nets, so that no blob is missing: all that differs is that the top has its
final values as soon as the convolution has run. The weights are folded anew in each pass, from whatever the blobs hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.net.graph import Graph, Node
from segcaffe.proto import caffe_pb2


class Folded(Convolution):
    """Mixin: a convolution that does the work of the layers in ``followers`` as well."""

    followers: tuple[Layer, ...] = ()

    def parameters(self) -> tuple[Any, Any]:
        """Weight and bias with the followers' factors and shifts."""
        weight, bias = super().parameters()
        factor, shift = self.xp.ones(self.num_output), self.xp.zeros(self.num_output)
        if bias is not None:
            shift += bias
        for layer in self.followers:
            if isinstance(layer, BatchNorm):
                mean, deviation = layer.stored_statistics()
                factor, shift = factor / deviation, (shift - mean) / deviation
            elif isinstance(layer, Scale):
                scale, offset = layer.parameters()
                factor, shift = factor * scale, shift * scale + offset
        rows = weight.reshape(self.num_output, -1) * factor.astype(self.dtype)[:, None]
        return rows.reshape(weight.shape), shift.astype(self.dtype)


class Idle(Layer):
    """Mixin: a layer whose work another does."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the top has its values already."""


def fold(graph: Graph) -> Graph:
    """Return the graph with BatchNorm and Scale folded into the convolutions before them, where nothing learns."""
    if graph.force_backward or any(_has_loss(node) for node in graph.nodes):
        return graph
    nodes, folded = list(graph.nodes), {}
    for i, node in enumerate(graph.nodes):
        followers = _followers(graph, i) if _is_convolution(node) else ()
        if followers:
            folded[i] = followers
            nodes[i] = replace(node, cls=type(node.cls.__name__, (Folded, node.cls), {"__doc__": node.cls.__doc__}))
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


def _is_convolution(node: Node) -> bool:
    return issubclass(node.cls, Convolution) and len(node.tops) == 1 and node.param.convolution_param.axis == 1


def _followers(graph: Graph, index: int) -> tuple[int, ...]:
    """The BatchNorm and the Scale that work in place on a convolution's top before anybody else reads it."""
    blob = graph.nodes[index].tops[0]
    readers = [i for i in range(index + 1, len(graph.nodes)) if blob in graph.nodes[i].bottoms]
    found: list[int] = []
    for i, fits in zip(readers, (_is_stored_norm, _is_channel_scale), strict=False):
        if not fits(graph.nodes[i]) or graph.nodes[i].tops != [blob]:
            break
        found.append(i)
    return tuple(found)


def _is_stored_norm(node: Node) -> bool:
    options = node.param.batch_norm_param
    stored = options.use_global_stats if options.HasField("use_global_stats") else node.param.phase == caffe_pb2.TEST
    updates = node.param.phase == caffe_pb2.TRAIN and options.update_global_stats
    return issubclass(node.cls, BatchNorm) and stored and not updates


def _is_channel_scale(node: Node) -> bool:
    options = node.param.scale_param
    return issubclass(node.cls, Scale) and len(node.bottoms) == 1 and options.axis == 1 and options.num_axes == 1
