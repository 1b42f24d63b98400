"""A net's drawing as SVG text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from segcaffe.viz.layered_layout import Point
from segcaffe.viz.markup import text
from segcaffe.viz.net_drawing import LINE_HEIGHT, Cell, Drawing

STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;text-anchor:middle}.frame{fill:#f6f8fa;stroke:#c8ccd0}"
    ".frame-name{font-size:10px;fill:#667;text-anchor:start}.edge{fill:none;stroke:#555}.label{font-size:9px;fill:#555}"
    ".cell{stroke:#333}"
)


def svg(drawing: Drawing) -> str:
    """The drawing as a complete SVG document; each layer's group has its index as ``data-layer``."""
    size = f'width="{drawing.width:.0f}" height="{drawing.height:.0f}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}">'
        f"<title>{text(drawing.title)}</title><style>{STYLE}</style>"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
        f'<rect {size} fill="white"/>'
    )
    return "\n".join([head, *_frames(drawing), *_edges(drawing), *_nodes(drawing), "</svg>\n"])


def _frames(drawing: Drawing) -> Iterator[str]:
    for frame in drawing.frames:
        left, top, right, bottom = frame.box
        yield (
            f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" rx="6"/>'
            f'<text class="frame-name" x="{left + 5:.1f}" y="{top + 11:.1f}">{text(frame.name)}</text>'
        )


def _edges(drawing: Drawing) -> Iterator[str]:
    for (_, _, label), points in zip(drawing.edges, drawing.routes, strict=True):
        yield f'<path class="edge" marker-end="url(#arrow)" d="{curve(points)}"/>'
        if label:
            (x0, y0), (x1, y1) = points[0], points[1]
            yield f'<text class="label" x="{(x0 + x1) / 2 + 12:.1f}" y="{(y0 + y1) / 2 + 3:.1f}">{text(label)}</text>'


def curve(points: list[Point]) -> str:
    """A smooth path through points, as SVG writes it; it leaves and arrives along the direction of flow."""
    path = "M{:.1f} {:.1f}".format(*points[0])
    down = abs(points[-1][1] - points[0][1]) >= abs(points[-1][0] - points[0][0])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2 if down else (x0 + x1) / 2
        bends = (x0, middle, x1, middle) if down else (middle, y0, middle, y1)
        path += "C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}".format(*bends, x1, y1)
    return path


def _nodes(drawing: Drawing) -> Iterator[str]:
    for node, (x, y) in zip(drawing.nodes, drawing.centres, strict=True):
        width, height = node.size
        top = y - height / 2
        for cell in node.cells:
            yield _cell(cell, x, top, width)
            top += cell.size[1]


def _cell(cell: Cell, x: float, top: float, width: float) -> str:
    height = cell.size[1]
    if cell.layer is None:
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in octagon(x, top, width, height))
        shape = f'<polygon class="cell" points="{points}" fill="{cell.color}"/>'
        head = f'<g class="blob" data-blob="{text(cell.blob or "")}">'
    else:
        shape = (
            f'<rect class="cell" x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{cell.color}"/>'
        )
        head = f'<g class="layer" data-layer="{cell.layer}">'
    texts = "".join(
        f'<text x="{x:.1f}" y="{top + LINE_HEIGHT * (i + 1):.1f}">{text(line)}</text>'
        for i, line in enumerate(cell.lines)
    )
    return f"{head}{shape}{texts}</g>"


def octagon(x: float, top: float, width: float, height: float) -> list[Point]:
    """Corners of an octagon of that width and height, centred on x."""
    left, right, bottom, cut = x - width / 2, x + width / 2, top + height, min(width, height) * 0.3
    return [
        (left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
        (right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut),
    ]  # fmt: skip
