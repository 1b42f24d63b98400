"""Drawings of nets, in pycaffe's colours and with its labels: ``caffe.draw``.

SVG, HTML and DOT need nothing, PNG and PDF need matplotlib; `get_pydot_graph` alone needs pydot.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcaffe.errors import SegcaffeError
from segcaffe.files.disk import replacing, why_unwritable
from segcaffe.graph.rules import filter_net, net_state
from segcaffe.layers.base import Layer
from segcaffe.layers.registry import find_class
from segcaffe.proto import caffe_pb2
from segcaffe.proto.caffe_pb2 import LayerParameter, NetParameter
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.printer import float32_text
from segcaffe.text.visible import one_line
from segcaffe.viz.net_drawing import BLOB_COLOR, IN_PLACE_COLOR, Drawing
from segcaffe.viz.net_drawing import draw as lay_out

Shapes = Mapping[str, tuple[int, ...]]

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": Layer.draw_color, "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": IN_PLACE_COLOR, "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": BLOB_COLOR, "style": "filled"}
FORMATS = ("svg", "html", "png", "pdf", "eps", "dot")


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box."""
    return find_class(layertype).draw_color


def get_pooling_types_dict() -> dict[int, str]:
    """Names of the ways of pooling by their numbers."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: LayerParameter) -> str:
    """Text on the arrow from a layer to its top: the batch size, or the number of outputs."""
    for options in (getattr(layer, field) for field in find_class(layer.type).option_fields()):
        if "num_output" in options.DESCRIPTOR.fields_by_name:
            return str(options.num_output)
        if "batch_size" in options.DESCRIPTOR.fields_by_name:
            return f"Batch {options.batch_size}"
    return ""


def get_layer_lr_mult(layer: LayerParameter) -> str:
    """The learning rate multipliers of a layer's parameters, "" where it says nothing."""
    return ", ".join(float32_text(spec.lr_mult) for spec in layer.param)


def get_layer_label(layer: LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Text of a layer's box, its lines separated by line feeds.

    Parameters
    ----------
    rankdir:
        Direction of the drawing; the same text is used for all.
    display_lrm:
        Whether to add the learning rate multipliers.
    """
    lines = [layer.name, f"({layer.type})"]
    cls = find_class(layer.type)
    if "convolution_param" in cls.option_fields():
        param = layer.convolution_param
        lines = [layer.name, f"({layer.type})", _window(param)]
        dilation = list(param.dilation) or [1]
        if dilation != [1]:
            lines[-1] += f" dilation: {_extents(dilation)}"
    elif cls.options_field == "pooling_param":
        method = get_pooling_types_dict()[layer.pooling_param.pool]
        lines = [layer.name, f"({method} {layer.type})", _pooling_window(layer.pooling_param)]
    if display_lrm and layer.param:
        lines.append(f"lr mult: {get_layer_lr_mult(layer)}")
    return "\n".join(lines)


def make_drawing(
    caffe_net: NetParameter,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
    label_edges: bool = True,
    shapes: Shapes | None = None,
) -> Drawing:
    """Lay out a net; ``phase`` (None: both) selects layers by their include and exclude rules."""
    if rankdir not in ("LR", "RL", "TB", "BT"):
        raise SegcaffeError(f"rankdir is LR, RL, TB or BT. Received: {rankdir}.")
    return lay_out(
        _in_phase(caffe_net, phase),
        label=lambda layer: get_layer_label(layer, rankdir, display_lrm).split("\n"),
        edge_label=get_edge_label if label_edges else lambda layer: "",
        color=choose_color_by_layertype,
        rankdir=rankdir,
        shapes=shapes,
    )


def draw_net(
    caffe_net: NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Shapes | None = None,
) -> bytes:
    """The drawing of a net as the content of a file of that format: svg, html, png, pdf, eps or dot."""
    drawing = make_drawing(caffe_net, rankdir, phase, display_lrm, shapes=shapes)
    if ext == "svg":
        from segcaffe.viz.net_svg import svg

        return svg(drawing).encode()
    if ext == "html":
        from segcaffe.viz.net_html import html

        return html(drawing, _in_phase(caffe_net, phase), shapes).encode()
    if ext == "dot":
        return dot(drawing, rankdir).encode()
    if ext in FORMATS:
        from segcaffe.viz.net_figure import figure_bytes

        return figure_bytes(drawing, ext)
    raise SegcaffeError(f"the format is one of {', '.join(FORMATS)}. Received: {ext or 'a name without one'}.")


def draw_net_to_file(
    caffe_net: NetParameter,
    filename: str | Path,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Shapes | None = None,
) -> None:
    """Draw a net into a file; its suffix says the format."""
    content = draw_net(caffe_net, rankdir, Path(filename).suffix.lstrip(".").lower(), phase, display_lrm, shapes)
    try:
        with replacing(Path(filename)) as part:
            part.write_bytes(content)
    except OSError as error:
        raise SegcaffeError(f"{filename}: the drawing cannot be written: {why_unwritable(error)}.") from error


def get_pydot_graph(
    caffe_net: NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The net as a graph of the package pydot, to be changed or drawn with Graphviz."""
    try:
        pydot = importlib.import_module("pydot")
    except ImportError as error:
        raise SegcaffeError("get_pydot_graph needs pydot: pip install pydot. draw_net needs nothing.") from error
    drawing = make_drawing(caffe_net, rankdir, phase, display_lrm, label_edges)
    return pydot.graph_from_dot_data(dot(drawing, rankdir))[0]


def dot(drawing: Drawing, rankdir: str) -> str:
    """The drawing in Graphviz' language, left to Graphviz to lay out."""
    lines = [f"digraph {_quoted(drawing.title or 'net')} {{", f"  rankdir={rankdir};", "  node [style=filled];"]
    for index, node in enumerate(drawing.nodes):
        for k, cell in enumerate(node.cells):
            shape = "octagon" if cell.layer is None else "box"
            lines.append(f'  n{index}_{k} [shape={shape}, fillcolor="{cell.color}", label={_quoted(cell.lines)}];')
        lines += [f"  n{index}_{k} -> n{index}_{k + 1};" for k in range(len(node.cells) - 1)]
    for start, end, label in drawing.edges:
        last = len(drawing.nodes[start].cells) - 1
        lines.append(f"  n{start}_{last} -> n{end}_0 [label={_quoted(label)}];")
    return "\n".join([*lines, "}\n"])


def _quoted(text: str | list[str]) -> str:
    escaped = [
        one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in ([text] if isinstance(text, str) else text)
    ]
    return '"' + "\\n".join(escaped) + '"'


def _in_phase(net: NetParameter, phase: int | None) -> NetParameter:
    return net if phase is None else filter_net(PlacedNet.of(net), net_state(phase)).message


def _window(param: Any) -> str:
    kernel = [param.kernel_h, param.kernel_w] if param.kernel_h else list(param.kernel_size) or [1]
    stride = [param.stride_h, param.stride_w] if param.stride_h else list(param.stride) or [1]
    pad = [param.pad_h, param.pad_w] if param.pad_h or param.pad_w else list(param.pad) or [0]
    return f"kernel size: {_extents(kernel)} stride: {_extents(stride)} pad: {_extents(pad)}"


def _pooling_window(param: caffe_pb2.PoolingParameter) -> str:
    if param.global_pooling:
        return "global"
    kernel = [param.kernel_h, param.kernel_w] if param.kernel_h else [param.kernel_size]
    stride = [param.stride_h, param.stride_w] if param.stride_h else [param.stride]
    pad = [param.pad_h, param.pad_w] if param.pad_h or param.pad_w else [param.pad]
    return f"kernel size: {_extents(kernel)} stride: {_extents(stride)} pad: {_extents(pad)}"


def _extents(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))
