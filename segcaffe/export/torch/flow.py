"""Which layers of a net are written, and how each value goes from the one that makes it to those that read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcaffe.graph.graph import Graph, Node

IDENTITIES = ("Split",)


@dataclass(eq=False)
class Value:
    """What one layer makes, until a layer works on it in place.

    Attributes
    ----------
    blob:
        The index of its blob.
    maker:
        The index of the node that makes it; None for an argument.
    readers:
        Indices of the nodes that read it, as often as they do.
    is_output:
        Whether the module returns it.
    """

    blob: int
    maker: int | None
    readers: list[int] = field(default_factory=list)
    is_output: bool = False


@dataclass
class Flow:
    """A graph's values.

    Attributes
    ----------
    order:
        The nodes that are written, by index: no sources, splits, sinks, nor what only serves a fused convolution.
    bottoms, tops:
        By node, the values that it reads and makes.
    arguments:
        What comes from outside.
    outputs:
        What the module returns, in the order of the graph's outputs.
    followers:
        For BatchNorms the Scale that is written with them, which is not in ``order``.
    """

    order: list[int] = field(default_factory=list)
    bottoms: dict[int, list[Value]] = field(default_factory=dict)
    tops: dict[int, list[Value]] = field(default_factory=dict)
    arguments: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    followers: dict[int, int] = field(default_factory=dict)


def flow_of(graph: Graph, extra: set[int]) -> Flow:
    """Follow the values of a graph; blobs of ``extra`` (weighted losses) are returned besides the outputs."""
    flow, current = Flow(), dict[int, Value]()
    for index, node in enumerate(graph.nodes):
        if _is_passed_over(graph, node):
            continue
        read = [current[blob] for blob in written_bottoms(node)]
        if node.param.type in IDENTITIES:
            current.update(dict.fromkeys(node.tops, read[0]))
            continue
        comes = node.cls.source and not is_constant(node)
        made = [Value(blob, None if comes else index) for blob in node.tops]
        current.update(zip(node.tops, made, strict=True))
        if comes:
            flow.arguments += made
            continue
        for value in read:
            value.readers.append(index)
        flow.order.append(index)
        flow.bottoms[index], flow.tops[index] = read, made
    wanted = [*graph.outputs, *sorted(extra - set(graph.outputs))]
    flow.outputs = list(dict.fromkeys(current[blob] for blob in wanted if blob in current))
    for value in flow.outputs:
        value.is_output = True
    _join_scales(graph, flow)
    return flow


def _join_scales(graph: Graph, flow: Flow) -> None:
    """Have each BatchNorm write the Scale with it that is the only reader of what it makes."""
    for index in list(flow.order):
        node, tops = graph.nodes[index], flow.tops[index]
        readers = tops[0].readers if tops and not tops[0].is_output else []
        if node.param.type != "BatchNorm" or len(readers) != 1 or not _is_affine(graph.nodes[readers[0]]):
            continue
        flow.followers[index] = readers[0]
        flow.tops[index] = flow.tops[readers[0]]
        flow.order.remove(readers[0])
        for value in flow.tops[index]:
            value.maker = index


def _is_affine(node: Node) -> bool:
    """Whether a layer is a Scale with a factor and an addend of its own for each channel."""
    options = node.param.scale_param
    learns = node.param.type == "Scale" and len(node.bottoms) == 1 and options.bias_term
    return bool(learns and options.axis == 1 and options.num_axes == 1 and not any(node.param.loss_weight))


def written_bottoms(node: Node) -> list[int]:
    """The blobs that the written layer reads: of a fused convolution the image and the mask, not the columns."""
    return node.bottoms[1:] if "im2col" in node.further else node.bottoms


def is_constant(node: Node) -> bool:
    """Whether a source's tops are always the same numbers."""
    fillers = node.param.dummy_data_param.data_filler
    return node.param.type == "DummyData" and all(filler.type in ("constant", "xy") for filler in fillers)


def _is_passed_over(graph: Graph, node: Node) -> bool:
    lazy = bool(node.tops) and all(blob in graph.lazy for blob in node.tops)
    return lazy or node.cls.sink or node.param.type == "Silence"
