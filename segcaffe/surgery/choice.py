"""Which convolutions of a net can look through masks, and why others cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from segcaffe.errors import GraphError, did_you_mean
from segcaffe.graph.graph import where
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.depthwise_convolution import DepthwiseConvolution
from segcaffe.layers.dense.windowed import WindowedLayer
from segcaffe.layers.registry import layer_class
from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.weights.loading import shown
from segcaffe.window import Window

ONE_TAP = "sees one pixel at a time"
"""Why a layer stays as it is that has a window of one pixel."""
_FUSED = ("relu", "fuse_type", "fusion_type")


@dataclass(frozen=True)
class Left:
    """A layer that a pattern fits and that stays as it is, and why."""

    layer: str
    type: str
    why: str


def fitting(layers: Sequence[LayerParameter], patterns: Sequence[str]) -> list[int]:
    """Indices of the layers with windows whose names fit a pattern; GraphError for a pattern that no layer fits."""
    windowed = [i for i, layer in enumerate(layers) if issubclass(layer_class(layer.type, where(layer)), WindowedLayer)]
    names = [layers[i].name for i in windowed]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = f" The net's convolutions: {shown(list(dict.fromkeys(names))) or 'none'}."
            if any(sign in pattern for sign in "*?["):
                raise GraphError(f'No convolution fits "{pattern}".{known}')
            raise GraphError(f'No convolution is called "{pattern}".{did_you_mean(pattern, names) or known}')
    return [i for i in windowed if any(fnmatchcase(layers[i].name, pattern) for pattern in patterns)]


def why_left(layer: LayerParameter) -> str:
    """Why a layer cannot look through a mask, as far as its options tell; "" if it can."""
    options = layer.convolution_param
    if not issubclass(layer_class(layer.type), Convolution):
        return f"a {layer.type} has no columns to mask"
    if options.bottom_is_im2col:
        return "reads columns already"
    if len(layer.bottom) != 1 or len(layer.top) != 1:
        return f"has {len(layer.bottom)} bottoms and {len(layer.top)} tops; a mask is for one image"
    if any(options.HasField(name) for name in _FUSED):
        return "is fused with other layers; write them out"
    if options.axis != 1:
        return f"its channels are axis {options.axis}; masks are for images (N, C, H, W)"
    return ""


def why_unfit(layer: LayerParameter, shape: tuple[int, ...]) -> str:
    """Why a layer whose bottom has a shape cannot look through a mask; "" if it can."""
    if not shape:
        return "is in the net neither in phase TEST nor in phase TRAIN"
    if len(shape) != 4:
        return f"its bottom has shape {' x '.join(map(str, shape))}; masks are for images (N, C, H, W)"
    window = Window.from_convolution(layer.convolution_param, 2, where(layer))
    if math.prod(window.kernel) == 1:
        return ONE_TAP
    if window.behind:
        return "pads opposite sides differently, which Im2col and Im2dist cannot"
    return ""


def further_options(layer: LayerParameter, channels: int) -> dict[str, int]:
    """Options that a layer's type stands for, where it is another than Convolution, and that it does not say itself."""
    if not issubclass(layer_class(layer.type), DepthwiseConvolution):
        return {}
    options = layer.convolution_param
    implied = {"num_output": options.num_output or channels, "group": options.group if options.group > 1 else channels}
    return {name: value for name, value in implied.items() if value != getattr(options, name)}
