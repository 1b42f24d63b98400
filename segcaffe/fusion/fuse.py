"""Fusion: convolutions of masked columns run without the columns.

The segmentation-aware convolution is written in a prototxt as

    Im2col(x) * Tile(mask) -> Convolution (bottom_is_im2col),   mask = Exp, Scale, AbsVal ... of Im2dist(embeddings),

where each product has k^2 times as many elements as x. `fuse` finds it, however the mask is made of elementwise layers
and whichever of the blobs several layers share, and returns a graph in which the convolution reads x and the mask
(`masked_convolution`) and Im2col, Tile, Eltwise and the Splits between them are lazy: they run when their tops are
read, and otherwise not at all. Names, order and parameters stay as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.graph.graph import Graph, Node
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import NeuronLayer
from segcaffe.layers.segaware.im2dist import Im2dist
from segcaffe.layers.shape.same_memory import SameMemory
from segcaffe.layers.shape.split import Split
from segcaffe.proto import caffe_pb2


@dataclass(frozen=True)
class Match:
    """One convolution of masked columns, by indices of nodes; ``between`` lists the layers that become lazy."""

    conv: int
    im2col: int
    tile: int
    between: frozenset[int]


def fuse(graph: Graph) -> Graph:
    """Return the graph with each convolution of masked columns fused; the graph itself where there is none."""
    flow = Flow(graph)
    matches = _independent(graph, [match for i in range(len(graph.nodes)) if (match := _match(flow, i))])
    if not matches:
        return graph
    nodes = list(graph.nodes)
    for match in matches:
        conv, im2col, tile = (graph.nodes[i] for i in (match.conv, match.im2col, match.tile))
        bottoms = [*conv.bottoms, *im2col.bottoms, *tile.bottoms]
        further = {"im2col": im2col.param}
        nodes[match.conv] = replace(conv, cls=MaskedConvolution, bottoms=bottoms, further=further)
    return replace(graph, nodes=nodes, lazy={blob for i in _between(matches) for blob in nodes[i].tops})


class Flow:
    """The nodes of a graph, and which of them write what."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes
        self._writers: dict[int, list[int]] = {}
        self._roots = list(range(len(graph.blob_names)))
        """For each blob the first blob that has the same memory."""
        for i, node in enumerate(self.nodes):
            for blob in node.tops:
                self._writers.setdefault(blob, []).append(i)
                if _shares(node):
                    self._roots[blob] = self._roots[node.bottoms[0]]
        self._last_written = {
            self._roots[blob]: i for i, node in enumerate(self.nodes) if not _shares(node) for blob in node.tops
        }

    def source(self, index: int, blob: int) -> tuple[int | None, list[int]]:
        """The node whose result node ``index`` reads as ``blob``, and the Splits on the way."""
        path: list[int] = []
        while (maker := self._writer(index, blob)) is not None:
            node = self.nodes[maker]
            if not issubclass(node.cls, Split):
                return maker, path
            path.append(maker)
            index, blob = maker, node.bottoms[0]
        return None, path

    def writers(self, blob: int) -> list[int]:
        """The nodes that have a blob as top, in order."""
        return self._writers.get(blob, [])

    def is_written(self, blob: int, first: int, last: int) -> bool:
        """Whether one of the nodes first..last - 1 has the blob as top, or writes to its memory."""
        root = self._roots[blob]
        return any(
            top == blob or (self._roots[top] == root and not _shares(node))
            for node in self.nodes[first:last]
            for top in node.tops
        )

    def _writer(self, index: int, blob: int) -> int | None:
        """The last node before ``index`` that writes ``blob``."""
        writers = self.writers(blob)
        before = bisect_left(writers, index)
        return writers[before - 1] if before else None

    def kept(self, index: int) -> bool:
        """Whether what node ``index`` reads keeps its values to the end of the net: no later layer works in place."""
        return self._last_written.get(self._roots[self.nodes[index].bottoms[0]], -1) <= index


def _match(flow: Flow, index: int) -> Match | None:
    """The match whose convolution is node ``index``, judged by itself."""
    conv = flow.nodes[index]
    if conv.param.type != "Convolution" or not conv.param.convolution_param.bottom_is_im2col:
        return None
    if len(conv.bottoms) != 1 or conv.param.convolution_param.axis != 1 or conv.param.propagate_down:
        return None
    product, path = flow.source(index, conv.bottoms[0])
    if product is None or not _is_product(flow.nodes[product]):
        return None
    sources = [flow.source(product, blob) for blob in flow.nodes[product].bottoms]
    found = {flow.nodes[i].param.type: i for i, _ in sources if i is not None}
    if set(found) != {"Im2col", "Tile"}:
        return None
    between = frozenset({product, *path, *found.values(), *(i for _, way in sources for i in way)})
    match = Match(index, found["Im2col"], found["Tile"], between)
    return match if _fits(flow, match) else None


def _is_product(node: Node) -> bool:
    options = node.param.eltwise_param
    product = node.param.type == "Eltwise" and options.operation == caffe_pb2.EltwiseParameter.PROD
    return product and len(node.bottoms) == 2 and options.stable_prod_grad


def _fits(flow: Flow, match: Match) -> bool:
    """Whether sizes agree, nothing else is asked of the layers in between, and x and mask keep their values."""
    im2col, tile = flow.nodes[match.im2col], flow.nodes[match.tile]
    if any(flow.nodes[i].param.loss_weight or flow.nodes[i].param.propagate_down for i in match.between):
        return False
    if im2col.param.convolution_param.axis != 1 or tile.param.tile_param.axis != 1:
        return False
    distance = _distance(flow, match.tile)
    taps = _taps(im2col)
    if distance is None or taps is None:
        return False
    same = taps == _taps(distance) and taps[0] * taps[1] == _count(flow.nodes[match.conv])
    return same and flow.kept(match.im2col) and flow.kept(match.tile)


def _distance(flow: Flow, tile: int) -> Node | None:
    """The Im2dist that a mask is made of by layers that work element by element."""
    index: int | None = tile
    while index is not None:
        node = flow.nodes[index]
        if issubclass(node.cls, Im2dist):
            return node
        elementwise = issubclass(node.cls, (NeuronLayer, Scale)) and len(node.bottoms) == 1
        if index != tile and not elementwise:
            return None
        index, _ = flow.source(index, node.bottoms[0])
    return None


def _taps(node: Node) -> tuple[int, int] | None:
    """Height and width of a layer's kernel, if it has two axes."""
    options = node.param.convolution_param
    if options.HasField("kernel_h") and options.HasField("kernel_w"):
        return options.kernel_h, options.kernel_w
    sizes = list(options.kernel_size)
    return (sizes[0], sizes[-1]) if len(sizes) in (1, 2) else None


def _count(node: Node) -> int | None:
    """Number of positions of a layer's kernel."""
    taps = _taps(node)
    return taps[0] * taps[1] if taps else None


def _shares(node: Node) -> bool:
    """Whether a layer's tops are its bottom's memory, not to be written to."""
    single = len(node.bottoms) == len(node.tops) == 1 and node.param.type in ("Slice", "Concat")
    return single or issubclass(node.cls, (Split, SameMemory))


def _independent(graph: Graph, matches: list[Match]) -> list[Match]:
    """The matches whose layers in between are read by these matches only."""
    readers = {blob: set(indices) for blob, indices in graph.readers().items()}
    while True:
        inside = _between(matches) | {match.conv for match in matches}
        kept = [match for match in matches if all(_read_within(graph, i, readers, inside) for i in match.between)]
        if len(kept) == len(matches):
            return kept
        matches = kept


def _read_within(graph: Graph, index: int, readers: dict[int, set[int]], inside: set[int]) -> bool:
    """Whether every top of a node is read, and only by nodes of ``inside``."""
    return all(readers.get(blob) and readers[blob] <= inside for blob in graph.nodes[index].tops)


def _between(matches: list[Match]) -> set[int]:
    return set().union(*(match.between for match in matches))
