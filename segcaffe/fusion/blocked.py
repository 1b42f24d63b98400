"""Channels in blocks: how blobs lie between the convolutions of a net that is all depthwise and pointwise.

A depthwise convolution of 3x3 is fastest where a vector holds the channels of a block at one pixel (`blob.blocked`),
and a pointwise one reads and writes such vectors without turning them. So a blob lies so where a depthwise convolution
of that kind makes or reads it, and all who make and read it can: these two, and strided convolutions. Whoever looks at
one finds what it would be otherwise. This is for float32 on the CPU and for nets that nothing learns in; parts of a
pass, and passes that hooks look on, go as without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from segcaffe.blob import Blob
from segcaffe.blob.blocked import BlockedBlob
from segcaffe.errors import ShapeError
from segcaffe.fusion.fold import has_loss
from segcaffe.graph.graph import Blocked, Graph, Node
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.depthwise_convolution import DepthwiseConvolution
from segcaffe.layers.shape.split import Split
from segcaffe.window import Window

_SIDES = 3, 3
"""The kernel of depthwise convolutions that take blocks."""
_LEAST_LANES, _MOST_LANES = 8, 16
"""Of a block, which is a vector of the processor."""


def block_channels(graph: Graph, keep: Collection[str] = (), backward: bool = True) -> Graph:
    """Return a folded graph in which blobs between convolutions may lie in blocks of channels.

    Blobs of the names to ``keep`` lie as always, because they will be read. ``backward`` says whether a net with a loss
    may run backward.
    """
    if graph.force_backward or (backward and any(map(has_loss, graph.nodes))):
        return graph
    finder = _Finder(graph, keep)
    pairs = [(node.bottoms[0], node.tops[0]) for node in graph.nodes if _is_depthwise(node)]
    found = {blob: same for blob in finder.makers if (same := finder.same(blob)) is not None} if pairs else {}
    while True:
        roots = {one: blob for blob, same in found.items() for one in same}
        ends = [[roots[blob] for blob in pair if blob in roots] for pair in pairs]
        alone = {both[0] for both in ends if len(both) == 1}
        if not alone:
            break
        found = {blob: same for blob, same in found.items() if blob not in alone}
    needs = {blob: frozenset(one for both in ends if blob in both for one in both) for blob in found}
    return replace(graph, blocked={blob: Blocked(same, needs[blob]) for blob, same in found.items() if needs[blob]})


class _Finder:
    """Which blobs a convolution makes, and who reads them."""

    def __init__(self, graph: Graph, keep: Collection[str]) -> None:
        self._graph, self._readers = graph, graph.readers()
        self._not = graph.on_demand() | set(graph.outputs)
        self._not |= {blob for blob, name in enumerate(graph.blob_names) if name in keep}
        self.makers: dict[int, int] = {}
        for index, node in enumerate(graph.nodes):
            for blob in node.tops:
                self.makers.setdefault(blob, index)

    def same(self, blob: int) -> frozenset[int] | None:
        """The blob and those of its Splits, if all who make and read it can have it in blocks; otherwise None."""
        index = self.makers[blob]
        node = self._graph.nodes[index]
        absorbed = self._graph.absorbed.get(index, ())
        if not self._can_make(node) or node.tops != [blob]:
            return None
        blobs, readers = {blob}, list(self._users(blob, absorbed))
        for i in readers:
            reader = self._graph.nodes[i]
            if issubclass(reader.cls, Split):
                blobs.update(reader.tops)
                readers.extend(user for top in reader.tops for user in self._users(top, ()))
            elif not _can_read(reader):
                return None
        return None if blobs & self._not or not readers else frozenset(blobs)

    def _users(self, blob: int, absorbed: Sequence[int]) -> Iterator[int]:
        return (i for i in self._readers.get(blob, ()) if i not in absorbed)

    def _can_make(self, node: Node) -> bool:
        outputs = node.param.convolution_param.num_output
        return _can_read(node) and outputs > 0 and outputs % _MOST_LANES == 0 and not any(node.param.loss_weight)


def _can_read(node: Node) -> bool:
    """Whether a layer is a convolution that can read blocks of channels: depthwise, of single pixels, or strided."""
    window = _window(node)
    if window is None:
        return False
    return _is_depthwise(node) or (_groups(node) == 1 and (window.taps == 1 or min(window.stride) > 1))


def _is_depthwise(node: Node) -> bool:
    window = _window(node)
    options = node.param.convolution_param
    return window is not None and window.kernel == _SIDES and _groups(node) == options.num_output > 1


def _groups(node: Node) -> int:
    options = node.param.convolution_param
    return options.num_output if issubclass(node.cls, DepthwiseConvolution) and options.group <= 1 else options.group


def _window(node: Node) -> Window | None:
    """The window of a Convolution of images with one bottom; otherwise None."""
    options = node.param.convolution_param
    as_is = issubclass(node.cls, Convolution) and node.cls.forward is Convolution.forward
    if not as_is or options.bottom_is_im2col or options.axis != 1:
        return None
    if len(node.bottoms) != 1 or node.tops == node.bottoms:
        return None
    try:
        return Window.from_convolution(options, 2, node.where)
    except ShapeError:
        return None


def choose_order(graph: Graph, blobs: Sequence[Blob], allowed: bool) -> None:
    """Say which blobs the next pass is to write in blocks: those that can now, with what they need; or none."""
    if not graph.blocked:
        return
    # Brings Numba with it.
    from segcaffe.kernels.vector.tile import vector_length

    lanes = vector_length("f4")
    allowed = allowed and lanes >= _LEAST_LANES
    able = {
        root for root, entry in graph.blocked.items() if allowed and all(_is_able(blobs[i], lanes) for i in entry.same)
    }
    while any(not graph.blocked[root].needs <= able for root in able):
        able = {root for root in able if graph.blocked[root].needs <= able}
    for root in graph.blocked:
        blob = blobs[root]
        if isinstance(blob, BlockedBlob):
            blob.order.wanted = lanes if root in able else 1


def _is_able(blob: Blob, lanes: int) -> bool:
    return isinstance(blob, BlockedBlob) and blob.can_lie_in(lanes)
