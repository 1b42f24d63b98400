"""The layers of a net as OpenCV 4.14 lists them: their names, numbers and types.

Its importer makes Input layers part of the net's own input, number 0, which is called ``_input``. A Convolution becomes
one layer for each of its tops, called by that top; other layers keep their names, the second of a name with ``_1``
behind it. Layers in place are layers like the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from segcaffe.graph.graph import Graph
from segcaffe.proto.caffe_pb2 import LayerParameter

INPUT, INPUT_TYPE = "_input", "__NetInputLayer__"
_TYPES = {"Axpy": "Eltwise", "ConvolutionDepthwise": "Convolution", "Input": INPUT_TYPE}
"""Types that OpenCV turns into others."""


@dataclass(frozen=True)
class Entry:
    """A layer of OpenCV's list.

    Attributes
    ----------
    name, written, type:
        Its name in OpenCV, its name in the prototxt, and its type in OpenCV.
    node:
        The index of the layer in the graph; -1 for the net's input.
    bottoms, tops:
        Indices of its blobs in the graph. A layer without tops has what it reads, as in OpenCV.
    read:
        Whether another layer reads one of its tops.
    """

    name: str
    written: str
    type: str
    node: int
    bottoms: tuple[int, ...]
    tops: tuple[int, ...]
    read: bool


def entries(graph: Graph, layers: Sequence[LayerParameter]) -> list[Entry]:
    """OpenCV's list for a graph.

    Parameters
    ----------
    layers:
        The layers that the graph was built of, without those that its rules exclude; what the graph has between them
        are splits.
    """
    found = [Entry(INPUT, INPUT, INPUT_TYPE, -1, (), tuple(graph.inputs), True)]
    names = _Names()
    for param, node in zip(layers, _nodes(graph, layers), strict=True):
        if param.type == "Input":
            continue
        bottoms, tops = tuple(graph.nodes[node].bottoms), tuple(graph.nodes[node].tops)
        written = names.of_layer(param.name)
        kind = _TYPES.get(param.type, param.type)
        if param.type != "Convolution":
            found.append(Entry(names.take(written), param.name, kind, node, bottoms, tops or bottoms, False))
            continue
        for bottom, top, name in zip(bottoms, tops, param.top, strict=True):
            found.append(Entry(names.take(name, written), param.name, kind, node, (bottom,), (top,), False))
    return [_with_readers(entry, graph) for entry in found]


class _Names:
    """Gives each layer a name of its own."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()
        self._taken = {INPUT}

    def of_layer(self, name: str) -> str:
        """A layer's name: with its count behind it from the second of that name on."""
        self._met[name] += 1
        return name if self._met[name] == 1 else f"{name}_{self._met[name] - 1}"

    def take(self, *wanted: str) -> str:
        """The first of the names that is free. OpenCV refuses a net in which the first is not."""
        free = [name for name in wanted if name not in self._taken]
        count = 1
        while not free:
            free = [name for name in (f"{wanted[-1]}_{count}",) if name not in self._taken]
            count += 1
        self._taken.add(free[0])
        return free[0]


def _nodes(graph: Graph, layers: Sequence[LayerParameter]) -> Iterator[int]:
    """For each layer the index of its node; it has the layer's name and tops, as no split between has."""
    index = -1
    for param in layers:
        index += 1
        while (graph.nodes[index].name, graph.nodes[index].param.top) != (param.name, param.top):
            index += 1
        yield index


def _with_readers(entry: Entry, graph: Graph) -> Entry:
    """The entry, with whether a later layer reads what it makes; one in place overwrites that, and others read on."""
    for node in graph.nodes[entry.node + 1 :]:
        if set(node.bottoms) & set(entry.tops):
            return replace(entry, read=True)
    return replace(entry, read=False)
