"""A net's drawing as PNG or PDF, through matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from segcaffe.errors import SegcaffeError
from segcaffe.proto.encoding import to_readable
from segcaffe.text.visible import one_line
from segcaffe.viz.curves import lacking_letters
from segcaffe.viz.layered_layout import Point
from segcaffe.viz.net_drawing import LINE_HEIGHT, Drawing
from segcaffe.viz.net_svg import octagon

_DOTS = 72
_LONGEST_SIDE, _MOST_PIXELS = 30_000, 150_000_000
_HEAD = 4.0, 1.8
"""Length and half the width of an arrow's head."""


def figure_bytes(drawing: Drawing, format: str) -> bytes:
    """The drawing in a format that matplotlib writes ("png", "pdf", "eps"); one unit is a point, PNGs at 144 dpi."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SegcaffeError(
            "Drawings as PNG or PDF need matplotlib: pip install matplotlib. SVG and HTML need nothing."
        ) from error
    figure = Figure(figsize=(drawing.width / _DOTS, drawing.height / _DOTS))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.axis("off")
    _frames(drawing, axes)
    _edges(drawing, axes)
    _nodes(drawing, axes)
    memory = io.BytesIO()
    with lacking_letters():
        figure.savefig(memory, format=format, dpi=_dpi(drawing))
    return memory.getvalue()


def _dpi(drawing: Drawing) -> float:
    sides = _LONGEST_SIDE / max(drawing.width, drawing.height)
    return _DOTS * min(2, sides, math.sqrt(_MOST_PIXELS / (drawing.width * drawing.height)))


def _frames(drawing: Drawing, axes: Any) -> None:
    from matplotlib.patches import Rectangle

    for frame in drawing.frames:
        left, top, right, bottom = frame.box
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, facecolor="#f6f8fa", edgecolor="#c8ccd0"))
        axes.text(
            left + 5, top + 8, to_readable(frame.name), fontsize=8, color="#666677", va="center", parse_math=False
        )


def _edges(drawing: Drawing, axes: Any) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    # Collections: a patch for each arrow takes a millisecond.
    axes.add_collection(LineCollection(drawing.routes, colors="#555555", linewidths=0.8), autolim=False)
    heads = [_head(points) for points in drawing.routes]
    axes.add_collection(PolyCollection(heads, facecolors="#555555", edgecolors="none"), autolim=False)
    for (_, _, label), points in zip(drawing.edges, drawing.routes, strict=True):
        if label:
            (x0, y0), (x1, y1) = points[0], points[1]
            place = ((x0 + x1) / 2 + 6, (y0 + y1) / 2)
            axes.text(*place, one_line(to_readable(label)), fontsize=7, color="#555555", va="center", parse_math=False)


def _head(points: Sequence[Point]) -> list[Point]:
    """The corners of the head at the end of an arrow."""
    (x0, y0), (x1, y1) = points[-2:]
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    back, half = _HEAD
    x, y = x1 - back * dx, y1 - back * dy
    return [(x1, y1), (x - half * dy, y + half * dx), (x + half * dy, y - half * dx)]


def _nodes(drawing: Drawing, axes: Any) -> None:
    from matplotlib.collections import PolyCollection

    shapes: list[Sequence[Point]] = []
    colors = [cell.color for node in drawing.nodes for cell in node.cells]
    for node, (x, y) in zip(drawing.nodes, drawing.centres, strict=True):
        width, height = node.size
        top = y - height / 2
        for cell in node.cells:
            tall = cell.size[1]
            shapes.append((octagon if cell.layer is None else _rectangle)(x, top, width, tall))
            for i, line in enumerate(cell.lines):
                place = (x, top + LINE_HEIGHT * (i + 0.75))
                axes.text(*place, one_line(to_readable(line)), fontsize=8.5, ha="center", va="center", parse_math=False)
            top += tall
    axes.add_collection(PolyCollection(shapes, facecolors=colors, edgecolors="#333333"), autolim=False)


def _rectangle(x: float, top: float, width: float, height: float) -> list[Point]:
    """The corners of a box, from its middle and top."""
    left, right, bottom = x - width / 2, x + width / 2, top + height
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
