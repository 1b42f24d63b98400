"""What a drawing of a net shows, and where: boxes for layers, octagons for blobs, arrows, frames around families.

Layers that work in place stand in one stack with the layer whose blob they change. Layers whose names begin alike
(``res2a_branch1``, ``res2a_branch2a``; ``inception_3a/1x1``) get a frame with that beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.viz.layered_layout import Layout, Point, layout

CHAR_WIDTH, LINE_HEIGHT, PADDING = 6.6, 15.0, 8.0
BLOB_COLOR = "#E0E0E0"
IN_PLACE_COLOR = "#90EE90"


@dataclass
class Cell:
    """One coloured box with lines of text; ``layer`` is the layer's index, None for a blob."""

    lines: list[str]
    color: str
    layer: int | None
    blob: str | None = None

    @property
    def size(self) -> Point:
        """Width and height that the text needs."""
        width = max(len(line) for line in self.lines) * CHAR_WIDTH + 2 * PADDING
        return width, len(self.lines) * LINE_HEIGHT + PADDING


@dataclass
class Node:
    """A stack of cells: a layer with those that work in place on its top; or one blob."""

    cells: list[Cell]
    family: str = ""

    @cached_property
    def size(self) -> Point:
        """Width and height of the stack, which is complete when it is first asked for them."""
        sizes = [cell.size for cell in self.cells]
        return max(width for width, _ in sizes), sum(height for _, height in sizes)


@dataclass
class Frame:
    """A rectangle (left, top, right, bottom) around the nodes of a family."""

    name: str
    box: tuple[float, float, float, float]


@dataclass
class Drawing:
    """Nodes with their centres, edges (points, label), frames, and the extent."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    centres: list[Point] = field(default_factory=list)
    edges: list[tuple[int, int, str]] = field(default_factory=list)
    routes: list[list[Point]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def draw(
    net: NetParameter,
    *,
    label: Callable[[LayerParameter], list[str]],
    edge_label: Callable[[LayerParameter], str],
    color: Callable[[str], str],
    rankdir: str = "TB",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Drawing:
    """Lay out a net.

    Parameters
    ----------
    label, edge_label, color:
        Lines in a layer's box, text on the arrow to its top, colour of a type.
    rankdir:
        Direction of the arrows: TB (down), BT, LR or RL.
    shapes:
        Shapes of blobs by name, shown where known.
    """
    drawing = _nodes(net, label, edge_label, color, shapes or {})
    sideways = rankdir in ("LR", "RL")
    sizes = [node.size[::-1] if sideways else node.size for node in drawing.nodes]
    plan = layout(sizes, [(start, end) for start, end, _ in drawing.edges])
    _place(drawing, plan, rankdir)
    drawing.frames = _frames(drawing)
    return drawing


def _nodes(
    net: NetParameter,
    label: Callable[[LayerParameter], list[str]],
    edge_label: Callable[[LayerParameter], str],
    color: Callable[[str], str],
    shapes: Mapping[str, tuple[int, ...]],
) -> Drawing:
    drawing = Drawing(net.name)
    maker: dict[str, int] = {}
    blob_node: dict[str, int] = {}
    for index, layer in enumerate(net.layer):
        in_place = list(layer.top) == list(layer.bottom) and len(layer.top) == 1 and layer.top[0] in maker
        if in_place:
            drawing.nodes[maker[layer.top[0]]].cells.append(Cell(label(layer), IN_PLACE_COLOR, index))
            continue
        me = len(drawing.nodes)
        drawing.nodes.append(Node([Cell(label(layer), color(layer.type), index)], _family(layer.name)))
        drawing.edges += [(blob_node[blob], me, "") for blob in layer.bottom if blob in blob_node]
        for blob in layer.top:
            # Data layers of both phases make the same blob; it is drawn once.
            if blob not in blob_node or layer.bottom:
                blob_node[blob] = len(drawing.nodes)
                drawing.nodes.append(Node([_blob_cell(blob, shapes)], _family(layer.name)))
            maker[blob] = me
            drawing.edges.append((me, blob_node[blob], edge_label(layer) if blob == layer.top[0] else ""))
    return drawing


def _blob_cell(blob: str, shapes: Mapping[str, tuple[int, ...]]) -> Cell:
    shape = [" x ".join(map(str, shapes[blob]))] if shapes.get(blob) else []
    return Cell([blob, *shape], BLOB_COLOR, None, blob)


def _family(name: str) -> str:
    """What a layer's name begins with: all before the first slash, or else before the first underscore."""
    return name.split("/")[0] if "/" in name else re.split("_", name, maxsplit=1)[0]


def _place(drawing: Drawing, plan: Layout, rankdir: str) -> None:
    width, height = plan.width, plan.height

    def turn(point: Point) -> Point:
        x, y = point
        if rankdir in ("BT", "RL"):
            y = height - y
        return (y, x) if rankdir in ("LR", "RL") else (x, y)

    drawing.centres = [turn(point) for point in plan.centres]
    drawing.width, drawing.height = (height, width) if rankdir in ("LR", "RL") else (width, height)
    across = rankdir in ("LR", "RL")
    for (start, end, _), route in zip(drawing.edges, plan.routes, strict=True):
        points = [turn(point) for point in route]
        points[0] = _border(drawing, start, points[1], across)
        points[-1] = _border(drawing, end, points[-2], across)
        drawing.routes.append(points)


def _border(drawing: Drawing, node: int, towards: Point, across: bool) -> Point:
    """The middle of the side of a node that faces a point."""
    (x, y), (width, height) = drawing.centres[node], drawing.nodes[node].size
    if across:
        return (x + (width if towards[0] > x else -width) / 2, y)
    return (x, y + (height if towards[1] > y else -height) / 2)


def _frames(drawing: Drawing) -> list[Frame]:
    """Frames of families of several layers, where they can be drawn without taking in a stranger."""
    frames = []
    all_boxes = np.array([_box(drawing, i) for i in range(len(drawing.nodes))])
    for indices in _kin(drawing):
        if sum(drawing.nodes[i].cells[0].layer is not None for i in indices) < 2:
            continue
        own = all_boxes[list(indices)]
        left, top = (own[:, :2].min(axis=0) - np.array((8, 14))).tolist()
        right, bottom = (own[:, 2:].max(axis=0) + np.array((8, 6))).tolist()
        inside = (all_boxes[:, :2] < (right, bottom)).all(axis=1) & (all_boxes[:, 2:] > (left, top)).all(axis=1)
        if np.count_nonzero(inside) == len(indices):
            frames.append(Frame(drawing.nodes[min(indices)].family, (left, top, right, bottom)))
    return frames


def _kin(drawing: Drawing) -> list[set[int]]:
    """Nodes of one family that arrows connect: a name's beginning may recur in every branch of a net."""
    groups = [{index} for index in range(len(drawing.nodes))]
    for start, end, _ in drawing.edges:
        if drawing.nodes[start].family == drawing.nodes[end].family and groups[start] is not groups[end]:
            small, large = sorted((groups[start], groups[end]), key=len)
            large |= small
            for index in small:
                groups[index] = large
    return list({id(group): group for group in groups}.values())


def _box(drawing: Drawing, node: int) -> tuple[float, float, float, float]:
    (x, y), (width, height) = drawing.centres[node], drawing.nodes[node].size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
