"""Folding: BatchNorm or BN, Scale and ReLU or PReLU behind a convolution are absorbed by its epilogue.

With stored statistics the first two multiply and shift each channel, so

    ReLU(scale * ((W x + b) - mean) / deviation + shift) = ReLU(factor * W x + shift'),

and the kernels of Convolution, Deconvolution and InnerProduct do all of it while a result is in a register or in the
cache. This is done only where the layers work in place on the convolution's top, so that no blob is missing: all that
differs is that the top has its final values as soon as the convolution has run. Who could see that gets what the layers
would do one by one: a pass that ends or begins among them, and one whose hooks look on, is not folded there. Factors
and shifts are computed anew in each pass, from whatever the blobs hold.

A BatchNorm, BN or Scale that no convolution takes in does the work of those behind it in the same way, where nothing
learns: in DenseNets they read what was joined.

Where the net may run backward, a Scale or a BN is folded only if its parameters do not learn: their gradients need what
lies in between. The gradient passes through all that is folded at once, before the convolution's own backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.graph.graph import Graph, Node
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.dense.inner_product import InnerProduct
from segcaffe.layers.dense.windowed import WindowedLayer
from segcaffe.layers.neuron.prelu import PReLU
from segcaffe.layers.neuron.relu import ReLU, limits
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.layers.normalize.bn import BN
from segcaffe.proto import caffe_pb2


def fold(graph: Graph, backward: bool = True) -> Graph:
    """Return the graph with BatchNorm or BN, Scale and ReLU or PReLU absorbed by the convolutions before them.

    With force_backward every gradient is asked for, those of a Scale too: such nets are left alone. ``backward`` says
    whether a net with a loss may run backward.
    """
    if graph.force_backward:
        return graph
    learns = backward and any(map(has_loss, graph.nodes))
    readers, found, taken = graph.readers(), dict[int, tuple[int, ...]](), set[int]()
    for i, node in enumerate(graph.nodes):
        if i not in taken and _can_lead(node, learns):
            behind = [reader for reader in readers.get(node.tops[0], []) if reader > i]
            if layers := _absorbed(graph, i, behind, learns):
                found[i] = layers
                taken.update(layers)
    return replace(graph, absorbed=found)


def has_loss(node: Node) -> bool:
    """Whether a layer adds to the net's loss."""
    return node.cls.loss or any(node.param.loss_weight)


def _can_lead(node: Node, learns: bool) -> bool:
    """Whether a layer can do the work of those behind it: it makes channels on axis 1, by a kernel with an epilogue.

    A BatchNorm, BN or Scale can as long as nothing learns, if it has no convolution before it whose epilogue it is part
    of.
    """
    if _is_stored_norm(node) or _is_channel_scale(node):
        return not learns and len(node.tops) == 1
    if issubclass(node.cls, InnerProduct):
        return node.param.inner_product_param.axis == 1
    return issubclass(node.cls, WindowedLayer) and len(node.tops) == 1 and node.param.convolution_param.axis == 1


def _absorbed(graph: Graph, index: int, readers: list[int], learns: bool) -> tuple[int, ...]:
    """The BatchNorm or BN, Scale and rectifier, in this order, that work in place on a layer's top before others do.

    ``readers`` are the layers behind it that read the top.
    """
    blob = graph.nodes[index].tops[0]
    kinds: list[Callable[[Node], bool]] = [_is_stored_norm, _is_channel_scale, is_rectifier]
    # What leads comes before.
    kinds = kinds[next((k + 1 for k, fits in enumerate(kinds[:2]) if fits(graph.nodes[index])), 0) :]
    if learns and issubclass(graph.nodes[index].cls, MaskedConvolution):
        # Factors go into its weight, which a gradient would have to be taken through.
        kinds = [is_rectifier]
    found: list[int] = []
    for i in readers:
        node = graph.nodes[i]
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
    if issubclass(node.cls, BatchNorm):
        learnt = node.cls.parameter_count(node.param, 1) - 3
        rates = [spec.lr_mult for spec in node.param.param[3:]]
        return len(rates) == learnt and not any(rates)
    if issubclass(node.cls, BN):
        rates = [spec.lr_mult for spec in node.param.param[:2]]
        return node.param.bn_param.frozen or (len(rates) == 2 and not any(rates))
    # With a negative slope the top's sign is not the input's, and a slope that learns needs the input.
    return issubclass(node.cls, ReLU) and node.param.relu_param.negative_slope >= 0


def _is_stored_norm(node: Node) -> bool:
    if issubclass(node.cls, BN):
        return not node.cls.reads_batch(node.param, node.param.phase)
    options = node.param.batch_norm_param
    stored = options.use_global_stats if options.HasField("use_global_stats") else node.param.phase == caffe_pb2.TEST
    updates = node.param.phase == caffe_pb2.TRAIN and options.update_global_stats
    return issubclass(node.cls, BatchNorm) and stored and not updates


def _is_channel_scale(node: Node) -> bool:
    options = node.param.scale_param
    return issubclass(node.cls, Scale) and len(node.bottoms) == 1 and options.axis == 1 and options.num_axes == 1


def is_rectifier(node: Node) -> bool:
    """Whether a layer is a ReLU without limits, or a PReLU."""
    if issubclass(node.cls, PReLU):
        return True
    return issubclass(node.cls, ReLU) and all(map(math.isinf, limits(node.param.relu_param)))
