"""The masks in a net: which layers compare embeddings in windows, and how masks fall with distance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segcaffe.errors import GraphError
from segcaffe.functional.masks import Norm
from segcaffe.layers.registry import layer_class
from segcaffe.layers.segaware.meanfield import MeanfieldLayer
from segcaffe.layers.segaware.norm_conv_meanfield import WindowMeanfield
from segcaffe.proto.caffe_pb2 import Im2distParameter, LayerParameter, NetParameter, NormConvParameter
from segcaffe.viz.explore.scene import View
from segcaffe.window import Window

Weights = Mapping[str, Sequence[Any]]
"""Blobs of a layer's parameters, by the layer's name."""
_FINEST_KERNEL = 17
"""Of the window over embeddings that no layer of the net looks at."""


def embedding_blobs(net: NetParameter) -> list[str]:
    """Blobs that layers compare in windows, and before them those that they are resized from; the finest first."""
    found: list[str] = []
    for layer in net.layer:
        guide = _guide(layer)
        if guide and guide not in found:
            found.append(guide)
    sources = [source for name in found if (source := _resized_from(net, name)) != name]
    return [*dict.fromkeys([*sources, *found])]


def mean_field_input(net: NetParameter) -> str:
    """The scores that the first CRF of a net starts from; empty for a net without one."""
    for layer in net.layer:
        if issubclass(layer_class(layer.type), MeanfieldLayer):
            return str(layer.bottom[0])
    return ""


def views_of(net: NetParameter, weights: Weights) -> list[View]:
    """Every mask of a net whose windows are square, odd, and around each cell, in the order of the layers.

    Those of distances that users registered are left out: the page that shows views computes L1 and L2.
    """
    found: list[View] = []
    for place, layer in enumerate(net.layer):
        if layer.type == "Im2dist":
            found += _masks(net, place, weights)
        elif layer.type == "NormConv":
            found += _normalized(layer, weights)
        elif _is_local_crf(layer):
            found.append(_crf_view(layer))
    return found


def finest_view(net: NetParameter, blob: str, views: Sequence[View], scale: float) -> View | None:
    """A view of a blob that no layer looks at itself, since they see it resized; None where one does.

    Norm and λ are those of the net's first mask; where there is none, L1 and ``scale``.
    """
    if any(view.embedding == blob for view in views):
        return None
    masks = [view for view in views if view.sum_to != 1]
    if not masks:
        about = f"The net makes embeddings, “{blob}”, and has no mask that a page can show: λ is the page's own choice."
        return View(blob, blob, _FINEST_KERNEL, scale=scale, about=about)
    about = (
        f"A mask of the embeddings “{blob}” in full resolution, as sharp as {masks[0].name}'s. The masks that the net "
        "itself looks through, on coarser grids, are the other choices."
    )
    return View(f"{blob} (all pixels)", blob, _FINEST_KERNEL, 1, masks[0].scale, masks[0].norm, about=about)


def _guide(layer: LayerParameter) -> str:
    """The blob that a layer compares in windows, if it does."""
    if layer.type == "Im2dist":
        return str(layer.bottom[0])
    if layer.type == "NormConv":
        return str(layer.bottom[1])
    return str(layer.bottom[2]) if _is_local_crf(layer) else ""


def _is_local_crf(layer: LayerParameter) -> bool:
    return issubclass(layer_class(layer.type), WindowMeanfield)


def _resized_from(net: NetParameter, blob: str) -> str:
    """The blob behind Interp layers that end in this one."""
    makers = {top: layer for layer in net.layer for top in layer.top}
    while blob in makers and makers[blob].type == "Interp":
        blob = makers[blob].bottom[0]
    return blob


def _masks(net: NetParameter, place: int, weights: Weights) -> Iterator[View]:
    """A view for each layer Exp that a layer Im2dist leads to."""
    layer = net.layer[place]
    window = _square_window(layer)
    if window is None or layer.im2dist_param.distance:
        return
    options, (kernel, dilation) = layer.im2dist_param, window
    norm: Norm = "l1" if options.norm == Im2distParameter.L1 else "l2"
    for end, scale in _exponentials(net, place, layer.top[0], 1.0, weights):
        name = _convolution_behind(net, end) or net.layer[end].name
        about = (
            f"The mask through which the layer {name} sees its features: {kernel} x {kernel} cells of "
            f"“{layer.bottom[0]}”, λ as the net has learnt it."
        )
        yield View(name, layer.bottom[0], kernel, dilation, scale, norm, 0, options.remove_center,
                   options.remove_bounds, about)  # fmt: skip


def _normalized(layer: LayerParameter, weights: Weights) -> Iterator[View]:
    """The view of a NormConv."""
    window = _square_window(layer)
    if window is None or layer.norm_conv_param.distance:
        return
    options, (kernel, dilation) = layer.norm_conv_param, window
    norm: Norm = "l1" if options.norm == NormConvParameter.L1 else "l2"
    scale = float(weights[layer.name][-1].data.flat[0]) if options.scale_term else -1.0
    about = (
        f"The mask through which the layer {layer.name} sees its features: {kernel} x {kernel} cells of "
        f"“{layer.bottom[1]}”, λ as the net has learnt it; "
        "each window's weights are divided by their sum."
    )
    yield View(layer.name, layer.bottom[1], kernel, dilation, scale, norm,
               kernel * kernel if options.scale_by_taps else 1, options.remove_center,
               options.remove_bounds, about)  # fmt: skip


def _square_window(layer: LayerParameter) -> tuple[int, int] | None:
    """Kernel and dilation of a window that is square, odd and around each cell; None of others."""
    window = Window.from_convolution(layer.convolution_param, 2, f'layer "{layer.name}" ({layer.type})')
    kernel, dilation = window.kernel[0], window.dilation[0]
    around = window.pad == (kernel // 2 * dilation,) * 2 and window.stride == (1, 1) and window.is_even
    square = window.kernel == (kernel, kernel) and window.dilation == (dilation, dilation)
    return (kernel, dilation) if around and square and kernel % 2 else None


def _exponentials(
    net: NetParameter, place: int, blob: str, factor: float, weights: Weights
) -> Iterator[tuple[int, float]]:
    """Places of layers Exp that distances reach, and the λ of exp(-λ · distance) there."""
    for after in range(place + 1, len(net.layer)):
        layer = net.layer[after]
        if blob not in layer.bottom:
            continue
        if layer.type == "Exp":
            if layer.exp_param.base == -1 and layer.exp_param.shift == 0:
                yield after, -factor * layer.exp_param.scale
        elif (times := _factor(layer, factor, weights)) is not None:
            yield from _exponentials(net, after, layer.top[0], times, weights)
        if blob in layer.top:
            return


def _factor(layer: LayerParameter, factor: float, weights: Weights) -> float | None:
    """What ``factor · distance`` is multiplied by behind a layer; None behind one that does something else."""
    if layer.type == "AbsVal":
        return abs(factor)
    if layer.type == "Scale" and len(layer.bottom) == 1 and not layer.scale_param.bias_term:
        values = weights[layer.name][0].data
        return factor * float(values.flat[0]) if values.size == 1 else None
    if layer.type == "Power" and layer.power_param.power == 1 and layer.power_param.shift == 0:
        return factor * layer.power_param.scale
    return None


def _convolution_behind(net: NetParameter, place: int) -> str:
    """The convolution whose columns a mask is multiplied with."""
    blob = net.layer[place].top[0]
    for layer in net.layer[place + 1 :]:
        if blob not in layer.bottom:
            continue
        if layer.type == "Convolution":
            return str(layer.name)
        if layer.type not in ("Tile", "Eltwise"):
            return ""
        blob = layer.top[0]
    return ""


def _crf_view(layer: LayerParameter) -> View:
    """The bilateral window of a local CRF: options are given for it first."""
    options = layer.norm_conv_meanfield_param
    if not options.kernel_size:
        raise GraphError(f'layer "{layer.name}" ({layer.type}): kernel_size must be given.')
    itself = ", itself nothing" if _first(options.remove_center, True) else ""
    about = (
        f"Whom a pixel asks in the CRF {layer.name}: neighbours that are alike say the most{itself}; all parts "
        f"together are 1. “{layer.bottom[2]}” may hold the pixels' positions, too, so that near ones are more alike."
    )
    return View(f"{layer.name} (CRF)", layer.bottom[2], options.kernel_size[0], _first(options.dilation, 1),
                _first(options.scale, 0.0), "l2", 1, _first(options.remove_center, True),
                _first(options.remove_bounds, True), about)  # fmt: skip


def _first(values: Sequence[Any], default: Any) -> Any:
    return values[0] if values else default
