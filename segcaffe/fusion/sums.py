"""Sums: the Eltwise behind a convolution, and the rectifier behind that, become part of the convolution.

In a residual block

    y = convolution(x), with its BatchNorm and Scale in place;  z = y + shortcut (Eltwise);  z = ReLU(z) in place,

the convolution writes z: its kernel adds the shortcut to results at hand. y is then computed only if it is read, as
blobs are that `segcaffe.fusion.fuse` leaves out. Whoever asks for a part of the net, or has hooks look on, gets what
the layers do one by one. This is for nets that nothing learns in.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from segcaffe.fusion.fold import has_loss, is_rectifier
from segcaffe.fusion.fuse import Flow
from segcaffe.graph.graph import Graph, Node, Sum
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.shape.eltwise import Eltwise
from segcaffe.proto import caffe_pb2


def join_sums(graph: Graph, keep: Collection[str] = (), backward: bool = True) -> Graph:
    """Return a folded graph with each sum of two blobs computed by the convolution that makes the later one.

    Blobs of the names to ``keep`` are computed in any case, because they will be read. ``backward`` says whether a net
    with a loss may run backward.
    """
    if graph.force_backward or (backward and any(map(has_loss, graph.nodes))):
        return graph
    flow, readers, sums = Flow(graph), graph.readers(), dict[int, Sum]()
    for index, node in enumerate(graph.nodes):
        if _is_sum(node):
            pairs = (node.bottoms, node.bottoms[::-1])
            makers = [(flow.writers(own)[0], other) for own, other in pairs if _can_add(graph, flow, own, other, index)]
            makers = [both for both in makers if graph.blob_names[graph.nodes[both[0]].tops[0]] not in keep]
            if makers:
                maker, addend = max(makers)
                total = node.tops[0]
                following = readers.get(total, [])[:1]
                rectifier = [i for i in following if _is_in_place(graph.nodes[i], total)]
                sums[maker] = Sum(addend, total, (index, *rectifier))
    return replace(graph, sums=sums)


def _is_sum(node: Node) -> bool:
    options = node.param.eltwise_param
    plain = options.operation == caffe_pb2.EltwiseParameter.SUM and all(factor == 1 for factor in options.coeff)
    two = len(node.bottoms) == len(set(node.bottoms)) == 2
    return issubclass(node.cls, Eltwise) and plain and two and node.param.phase == caffe_pb2.TEST


def _can_add(graph: Graph, flow: Flow, own: int, other: int, index: int) -> bool:
    """Whether ``own``, which node ``index`` adds to ``other``, is a convolution's, and ``other`` is there before it.

    The convolution's input must keep its values, for ``own`` may have to be computed later.
    """
    first, *in_place = flow.writers(own)
    node, absorbed = graph.nodes[first], graph.absorbed.get(first, ())
    if node.cls is not Convolution or len(node.bottoms) != 1 or node.param.convolution_param.axis != 1:
        return False
    linear = tuple(in_place) == absorbed and not any(is_rectifier(graph.nodes[i]) for i in absorbed)
    return linear and flow.kept(first) and not flow.is_written(other, first, index)


def _is_in_place(node: Node, blob: int) -> bool:
    return is_rectifier(node) and node.bottoms == node.tops == [blob]
