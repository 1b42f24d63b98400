"""How the coordinates of one top follow from another's, and the crop that lines both up: pycaffe's ``coord_map``.

A map is (axis, scale, offset): along the spatial axes from ``axis`` on, a point x of the first top lies at
``scale * x + offset`` of the second; axis None means that the axes do not matter (nothing moved).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import GraphError
from segcaffe.layers.base import NeuronLayer
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.deconvolution import Deconvolution
from segcaffe.layers.registry import find_class
from segcaffe.layers.window.im2col import Im2col
from segcaffe.layers.window.pooling import Pooling
from segcaffe.pycaffe.net_spec import Function, Top, layers

Values = NDArray[np.float64]
Map = tuple[int | None, Values, Values]

PASS_THROUGH_LAYERS = frozenset([
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN", "PReLU",
    "Power", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold",
])  # fmt: skip
"""Layers whose top has the coordinates of its bottom."""


class UndefinedMapException(GraphError):  # noqa: N818 (pycaffe's name)
    """A layer has no coordinate map, or two tops have no common origin."""


class AxisMismatchException(GraphError):  # noqa: N818 (pycaffe's name)
    """Two maps are about different axes."""


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops of a `segcaffe.NetSpec`, through an ancestor that both have.

    Raises `UndefinedMapException` where there is no way between them along layers with a map.
    """
    up = dict(_ancestors(top_from))
    for top, mapping in _ancestors(top_to):
        if top in up:
            return compose(mapping, inverse(up[top]))
    raise UndefinedMapException(
        "coord_map: the two tops have no common ancestor along layers that have coordinates (convolution, pooling, "
        "crop and layers that work element by element)."
    )


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts ``top_from`` to the extent of ``top_to``, where both came from the same image.

    Raises `UndefinedMapException` where the scales differ or the offset is negative or not whole.
    """
    axis, scale, offset = coord_map_from_to(top_from, top_to)
    if not (scale == 1).all():
        raise UndefinedMapException(f"crop: both tops need the same scale. Received: {_text(scale)} of each other.")
    if not (offset <= 0).all() or not (np.round(offset) == offset).all():
        raise UndefinedMapException(f"crop: the offset must be whole and not negative. Received: {_text(-offset)}.")
    first = 2 if axis is None else axis + 1
    top: Top = layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": (-offset).astype(int).tolist()})
    return top


def coord_map(fn: Function) -> Map:
    """The map from a layer's bottom coordinates to its top's; `UndefinedMapException` for types without one."""
    if issubclass(find_class(fn.type_name), (Convolution, Pooling, Im2col)):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if issubclass(find_class(fn.type_name), Deconvolution):
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, np.ones(1), -offset
    if fn.type_name in PASS_THROUGH_LAYERS or issubclass(find_class(fn.type_name), NeuronLayer):
        return None, np.ones(1), np.zeros(1)
    raise UndefinedMapException(f"coord_map: layers of type {fn.type_name} have no coordinate map.")


def conv_params(fn: Function) -> tuple[int, Values, Values, Values]:
    """Axis of the channels, stride, extent of the dilated kernel, and pad of a layer with a window."""
    params = fn.params.get("pooling_param" if fn.type_name == "Pooling" else "convolution_param", fn.params)
    if any(f"{option}_{side}" in params for option in ("kernel", "stride", "pad") for side in ("h", "w")):
        raise UndefinedMapException(f"coord_map: write {fn.type_name}'s kernel_size, stride and pad, not _h and _w.")
    kernel, dilation = _values(params["kernel_size"]), _values(params.get("dilation", 1))
    extent = (kernel - 1) * dilation + 1
    return params.get("axis", 1), _values(params.get("stride", 1)), extent, _values(params.get("pad", 0))


def crop_params(fn: Function) -> tuple[int, Values]:
    """First axis and offset of a Crop layer."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), _values(params.get("offset", 0))


def compose(base_map: Map, next_map: Map) -> Map:
    """The map that first applies ``next_map``, then ``base_map``."""
    axis_base, scale_base, offset_base = base_map
    axis_next, scale_next, offset_next = next_map
    if axis_base is not None and axis_next is not None and axis_base != axis_next:
        raise AxisMismatchException(f"coord_map: maps along axes {axis_base} and {axis_next} cannot be chained.")
    axis = axis_next if axis_base is None else axis_base
    return axis, scale_base * scale_next, scale_base * offset_next + offset_base


def inverse(coord_map: Map) -> Map:
    """The map back."""
    axis, scale, offset = coord_map
    return axis, 1 / scale, -offset / scale


def _ancestors(top: Top) -> Iterator[tuple[Top, Map]]:
    """A top and all it is made of as far as maps are defined, each with the map from the ancestor to the top."""
    identity: Map = (None, np.ones(1), np.zeros(1))
    waiting = [(top, identity)]
    seen: set[Top] = set()
    while waiting:
        top, mapping = waiting.pop(0)
        if top in seen:
            continue
        seen.add(top)
        yield top, mapping
        # A Crop's second bottom only says how large the result is.
        bottoms = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
        try:
            waiting += [(bottom, compose(mapping, coord_map(top.fn))) for bottom in bottoms]
        except UndefinedMapException:
            continue


def _values(value: Any) -> Values:
    return np.array(value, np.float64, ndmin=1)


def _text(values: Values) -> str:
    return ", ".join(f"{value:g}" for value in values)
