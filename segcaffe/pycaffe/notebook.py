"""What a notebook shows of a net: a table of its layers, and its graph."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.pycaffe.draw import draw_net
from segcaffe.viz.markup import text
from segcaffe.viz.net_table import Row, rows

MOST_DRAWN = 60
"""Layers of the largest net whose graph is shown, and whose table is not folded up."""
_HEADER = ("layer", "type", "bottoms → tops", "shapes", "parameters")


def html(net: Net) -> str:
    """Return a fragment of HTML: the net's table, and its graph behind a click where it is small."""
    body = rows(net)
    learnable = sum(blob.count for blob in net.learnable_params)
    title = f"{net.name or '(unnamed net)'}: {len(body)} layers, {learnable:,} parameters"
    small = len(body) <= MOST_DRAWN
    table = [_line("th", _HEADER), *(_line("td", _cells(net, i, row)) for i, row in enumerate(body))]
    parts = [
        f"<details{' open' if small else ''}><summary>{text(title)}</summary>",
        *("<table>", *table, "</table>", "</details>"),
    ]
    return "\n".join([*parts, _graph(net)] if small else parts)


def _cells(net: Net, index: int, row: Row) -> tuple[str, ...]:
    bottoms = [net.graph.blob_names[i] for i in net.graph.nodes[index].bottoms]
    flow = f"{', '.join(bottoms)} → {', '.join(name for name, _ in row.tops)}".strip()
    shapes = ", ".join(str(shape) for _, shape in row.tops)
    kind = f"{row.type} ({row.runs})" if row.runs else row.type
    return row.name, kind, flow, shapes, f"{row.params:,}" if row.params else ""


def _line(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{text(cell)}</{tag}>' for cell in cells)}</tr>"


def _graph(net: Net) -> str:
    """The drawing, as a picture: the styles and the arrow of an SVG in the page itself would be the whole page's."""
    shapes = {name: tuple(blob.shape) for name, blob in net.blobs.items()}
    drawn = base64.b64encode(draw_net(_as_written(net), "TB", "svg", shapes=shapes)).decode()
    picture = f'<img alt="{text(f"graph of {net.name}")}" src="data:image/svg+xml;base64,{drawn}">'
    return f"<details><summary>graph</summary>\n{picture}\n</details>"


def _as_written(net: Net) -> NetParameter:
    """The layers without their values, and without the Splits that stand between those that the file has."""
    written = NetParameter(name=net.name)
    source: dict[str, str] = {}
    for node in net.graph.nodes:
        if node.param.type == "Split":
            source |= dict.fromkeys(node.param.top, source.get(node.param.bottom[0], node.param.bottom[0]))
            continue
        layer = written.layer.add()
        layer.CopyFrom(node.param)
        del layer.blobs[:]
        layer.bottom[:] = [source.get(name, name) for name in layer.bottom]
    return written
