"""The net as data: nodes (layers) and the blobs between them, without arrays.

`build_graph` turns a NetParameter into a `Graph` by passes that are functions of their own: `rules.filter_net`,
`apart.take_apart`, `splits.insert_splits`, and the connection of names to blobs here. Which layers need a backward pass
is decided in `backward.plan`, once the layers exist and their parameters are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segcaffe.errors import GraphError, Place
from segcaffe.graph.apart import take_apart
from segcaffe.graph.rules import about_left_out, filter_net
from segcaffe.graph.splits import insert_splits
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import layer_class
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet


def where(param: caffe_pb2.LayerParameter) -> str:
    """How messages name a layer."""
    return f'layer "{param.name}" ({param.type})'


@dataclass
class Node:
    """One layer: its parameter message, its class with further arguments of it, its blobs, and its place in a file."""

    param: caffe_pb2.LayerParameter
    cls: type[Layer]
    bottoms: list[int] = field(default_factory=list)
    tops: list[int] = field(default_factory=list)
    further: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = None

    def make(self, dtype: Any) -> Layer:
        """Make the layer, in its own phase where the prototxt says so, otherwise in the net's."""
        return self.cls(self.param, self.param.phase, dtype, **self.further)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.param.name

    @property
    def where(self) -> str:
        """How messages name the layer."""
        return where(self.param)


@dataclass(frozen=True)
class Sum:
    """A sum of two blobs that the convolution that makes one of them computes; blobs and nodes by their indices.

    Attributes
    ----------
    addend, total:
        The other blob, and the sum.
    nodes:
        The layers whose work that is: an Eltwise, and the rectifier in place behind it if there is one.
    """

    addend: int
    total: int
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Blocked:
    """A blob whose channels may lie in blocks, by indices.

    Attributes
    ----------
    same:
        The blob and those that Splits make of it.
    needs:
        Blobs that have to lie so too, for a depthwise convolution that reads or makes it.
    """

    same: frozenset[int]
    needs: frozenset[int]


@dataclass
class Graph:
    """Nodes in execution order, and the blobs' names by index.

    Attributes
    ----------
    blob_names:
        Name of each blob. An in-place layer's top is its bottom's blob; automatic tops are called "(automatic)".
    inputs:
        Blobs made by Input layers.
    outputs:
        Blobs that no layer reads, in alphabetical order, as Caffe lists them.
    lazy:
        Blobs that are computed only when they are read (see `segcaffe.fusion.lazy`); empty before fusion.
    absorbed:
        For nodes whose epilogue does the work of others, the indices of those (see `segcaffe.fusion.fold`).
    sums:
        For convolutions that add another blob to their result, which is then computed by itself only when it is read,
        what they add to what (see `segcaffe.fusion.sums`).
    blocked:
        Blobs whose channels may lie in blocks (see `segcaffe.fusion.blocked`), Splits' tops excluded.
    """

    name: str
    nodes: list[Node] = field(default_factory=list)
    blob_names: list[str] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    force_backward: bool = False
    lazy: set[int] = field(default_factory=set)
    absorbed: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sums: dict[int, Sum] = field(default_factory=dict)
    blocked: dict[int, Blocked] = field(default_factory=dict)

    def on_demand(self) -> set[int]:
        """All blobs that are computed only when they are read."""
        return self.lazy | {self.nodes[index].tops[0] for index in self.sums}

    def readers(self) -> dict[int, list[int]]:
        """For each blob that is read, the nodes that read it, in order."""
        found: dict[int, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for blob in dict.fromkeys(node.bottoms):
                found.setdefault(blob, []).append(i)
        return found

    def producer(self, blob: int) -> Node:
        """The node that makes a blob first."""
        return next(node for node in self.nodes if blob in node.tops)


def build_graph(net: PlacedNet, state: caffe_pb2.NetState) -> Graph:
    """Build the graph of ``net`` in ``state`` (phase, level, stages); GraphError where names do not connect."""
    kept = filter_net(net, state)
    try:
        expanded = insert_splits(take_apart(kept))
    except GraphError as error:
        told = f"{error.text()}{about_left_out(net.message, state)}"
        raise GraphError(told, layer=error.layer, place=error.place) from error
    graph = Graph(name=net.message.name, force_backward=net.message.force_backward)
    available: dict[str, int] = {}
    makers: dict[str, str] = {}
    for i, param in enumerate(expanded.message.layer):
        if not param.HasField("phase"):
            param.phase = state.phase
        with expanded.about(i):
            node = Node(param, layer_class(param.type, where(param)), place=expanded.places[i])
            _connect_bottoms(node, available)
            _connect_tops(graph, node, available, makers)
        graph.nodes.append(node)
        if param.type == "Input":
            graph.inputs.extend(node.tops)
    graph.outputs = [available[name] for name in sorted(available)]
    return graph


def _connect_bottoms(node: Node, available: dict[str, int]) -> None:
    for name in node.param.bottom:
        node.bottoms.append(available.pop(name))


def _connect_tops(graph: Graph, node: Node, available: dict[str, int], makers: dict[str, str]) -> None:
    for j, name in enumerate(node.param.top):
        in_place = j < len(node.param.bottom) and node.param.bottom[j] == name
        if in_place and not node.cls.in_place:
            raise GraphError(f'{node.where}: cannot work in place; give its top another name than "{name}".')
        if not in_place and name in makers:
            raise GraphError(
                f'{node.where}: its top "{name}" is made by {makers[name]} already. Two layers cannot make the same '
                "blob; rename one of them."
            )
        blob = node.bottoms[j] if in_place else _new_blob(graph, name)
        node.tops.append(blob)
        makers[name] = node.where
        available[name] = blob
    if node.cls.auto_tops:
        needed = max(node.cls.top_count[0], len(node.param.bottom) if node.cls.same_count else 0)
        while len(node.tops) < needed:
            node.tops.append(_new_blob(graph, "(automatic)"))


def _new_blob(graph: Graph, name: str) -> int:
    graph.blob_names.append(name)
    return len(graph.blob_names) - 1
