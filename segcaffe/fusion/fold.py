"""Folding: BatchNorm, Scale and ReLU behind a convolution become part of it.

With stored statistics the first two multiply and shift each channel, so

    ReLU(scale * ((W x + b) - mean) / deviation + shift) = ReLU(factor * W x + shift'),

and the kernels of Convolution, Deconvolution and InnerProduct do all of it while a result is in a register or in the
cache. This is done only where the layers work in place on the convolution's top, so that no blob is missing: all that
differs is that the top has its final values as soon as the convolution has run. Who could see that gets what the layers
would do one by one: a pass that ends or begins among them, and one whose hooks look on, is not folded there. Factors
and shifts are computed anew in each pass, from whatever the blobs hold.

Where the net learns, a Scale is folded only if its parameters do not: their gradients need what lies in between. The
gradient passes through all that is folded at once, before the convolution's own backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from segcaffe.blob import Blob
from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.graph.graph import Graph, Node
from segcaffe.kernels import channelwise, elementwise
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Blobs, Layer, LayerMemory
from segcaffe.layers.dense.inner_product import InnerProduct
from segcaffe.layers.dense.windowed import WindowedLayer
from segcaffe.layers.neuron.relu import ReLU
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.proto import caffe_pb2


class Folded(Layer):
    """Mixin: a layer that does the work of the layers in ``followers`` as well."""

    followers: tuple[Layer, ...] = ()
    active = True
    """Whether it does so in this pass."""
    factor: Any = None
    """What the followers multiply the layer's own result by, from the last forward pass; None for 1."""

    def end(self) -> dict[str, Any]:
        """The followers' factors and shifts, with the layer's own bias, and their slope below 0."""
        own: dict[str, Any] = super().end()  # type: ignore[misc]
        end = self._with_followers(own)
        self.factor = end.get("scale")
        return end if self.active else own

    def _with_followers(self, own: dict[str, Any]) -> dict[str, Any]:
        end = dict(own)
        for layer in self.followers:
            if isinstance(layer, ReLU):
                end["negative_slope"] = layer.slope
            else:
                end["scale"], end["bias"] = _affine(layer, end.get("scale"), end["bias"])
        for name in ("scale", "bias"):
            if end.get(name) is not None:
                end[name] = end[name].astype(self.dtype)
        return end


class FoldedLearning(Folded):
    """Mixin: a layer that does the followers' work in both directions."""

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Besides what the layer itself reads, backward reads the top, for the sign."""
        known = super().memory(bottom, top, backward)
        return replace(known, reads_tops=known.reads_tops or self._slope() is not None)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Take the top's gradient through the followers, then through the layer itself."""
        if self.active:
            self._pass_followers(top[0])
        super().backward(top, propagate_down, bottom)

    def _slope(self) -> float | None:
        return next((layer.slope for layer in self.followers if isinstance(layer, ReLU)), None)

    def _pass_followers(self, top: Blob) -> None:
        """Make the gradient of the top's final values that of the layer's own result, in place."""
        slope, grad = self._slope(), top.grad
        if self.factor is None and slope is not None:
            elementwise.relu_grad(top.array, grad, slope, grad)
            return
        view = (grad.shape[0], self.factor.size, -1)
        flat = grad.reshape(view)
        if slope is None:
            channelwise.affine(flat, self.factor, self.xp.zeros_like(self.factor), flat)
        else:
            channelwise.rectified_affine_grad(top.array.reshape(view), flat, self.factor, slope, flat)


class FoldedMasked(Folded, MaskedConvolution):
    """A convolution of masked columns whose weights have the followers' factors."""

    def parameters(self) -> tuple[Any, Any]:
        """Weight and bias with the followers' factors and shifts."""
        weight, end = self.blobs[0].array, self.end()
        if not self.active:
            return weight, end["bias"]
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

    idle = True
    """Whether the other does so in this pass."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the top has its values already."""
        if not self.idle:
            super().forward(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do either, whatever the layer itself would do."""
        if not self.idle:
            super().recompute(bottom, top)

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Nothing is read, nothing saved."""
        return replace(super().memory(bottom, top, backward), reads_bottoms=False, reads_tops=False, saved=0)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to do: the layer that does the work takes the gradient through this one too."""
        if not self.idle:
            super().backward(top, propagate_down, bottom)


def fold(graph: Graph) -> Graph:
    """Return the graph with BatchNorm, Scale and ReLU folded into the convolutions before them.

    With force_backward every gradient is asked for, those of a Scale too: such nets are left alone.
    """
    if graph.force_backward:
        return graph
    learns = any(_has_loss(node) for node in graph.nodes)
    nodes, folded = list(graph.nodes), {}
    for i, node in enumerate(graph.nodes):
        masked = issubclass(node.cls, MaskedConvolution)
        followers = _followers(graph, i, learns) if _can_lead(node) and not (masked and learns) else ()
        if followers:
            folded[i] = followers
            mixin = FoldedMasked if masked else FoldedLearning if learns else Folded
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


def fold_within(graph: Graph, layers: list[Layer], first: int, last: int, watched: bool) -> None:
    """Fold, in the pass that follows, what lies wholly among layers first..last; nothing where hooks are set."""
    for i, followers in graph.folded.items():
        active = not watched and first <= i and followers[-1] <= last
        leader = layers[i]
        if isinstance(leader, Folded) and leader.active != active:
            leader.active = active
            for j in followers:
                follower = layers[j]
                assert isinstance(follower, Idle)
                follower.idle = active


def _has_loss(node: Node) -> bool:
    return node.cls.loss or any(node.param.loss_weight)


def _can_lead(node: Node) -> bool:
    """Whether a layer can do the work of those behind it: it makes channels on axis 1."""
    if issubclass(node.cls, InnerProduct):
        return node.param.inner_product_param.axis == 1
    return issubclass(node.cls, WindowedLayer) and len(node.tops) == 1 and node.param.convolution_param.axis == 1


def _followers(graph: Graph, index: int, learns: bool) -> tuple[int, ...]:
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
        if place is None or node.bottoms != [blob] or node.tops != [blob] or (learns and not _passes(node)):
            break
        found.append(i)
        kinds = kinds[place + 1 :]
    return tuple(found)


def _passes(node: Node) -> bool:
    """Whether a gradient passes a layer without anything but the top, and nothing else is asked of it."""
    if node.param.propagate_down or any(node.param.loss_weight):
        return False
    if issubclass(node.cls, Scale):
        rates = [spec.lr_mult for spec in node.param.param]
        return len(rates) == 1 + node.param.scale_param.bias_term and not any(rates)
    # With a negative slope the top's sign is not the input's.
    return node.param.relu_param.negative_slope >= 0


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
