"""Convolution, Deconvolution, InnerProduct and what is like them."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.dense.deconvolution import Deconvolution
from segcaffe.layers.dense.embed import Embed
from segcaffe.layers.dense.inner_product import InnerProduct
from segcaffe.layers.dense.local import Local
from segcaffe.layers.dense.windowed import WindowedLayer
from segcaffe.window import Window


def attributes(window: Window, group: int = 1) -> dict[str, Any]:
    """A window as the attributes of Conv and its like."""
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "dilations": list(window.dilation),
        "pads": [front for front, _ in window.paddings] + [behind for _, behind in window.paddings],
        "group": group,
    }


@maps("Convolution", "ConvolutionDepthwise", "ConvolutionSK", "DepthwiseConvolution", "HoleConvolution")
def convolution(layer: Convolution, emit: Emitter) -> list[str]:
    """Conv; of columns one of a single pixel."""
    if not layer.is_im2col:
        return _slide("Conv", layer, emit, emit.parameter(0), attributes(layer.window, layer.group))
    weight = layer.blobs[0].data.reshape(layer.num_output, -1, *(1,) * layer.window.num_axes)
    ones, zeros = (1,) * layer.window.num_axes, (0,) * layer.window.num_axes
    one = attributes(Window(ones, ones, zeros, ones), layer.group)
    return _slide("Conv", layer, emit, emit.parameter_as(0, weight), one)


@maps("Deconvolution")
def deconvolution(layer: Deconvolution, emit: Emitter) -> list[str]:
    """ConvTranspose: Caffe's size is that of ONNX without output_padding."""
    return _slide("ConvTranspose", layer, emit, emit.parameter(0), attributes(layer.window, layer.group))


def _slide(op: str, layer: WindowedLayer, emit: Emitter, weight: str, window: dict[str, Any]) -> list[str]:
    """The operator for each bottom, batch axes joined to one where the channels are not on axis 1."""
    parameters = [weight, emit.parameter(1)] if layer.bias_term else [weight]
    tops = []
    for index, value in enumerate(emit.inputs):
        if layer.axis == 1 and op == "Conv" and layer.window.taps == 1 and any(window["pads"]):
            # OpenCV reads beyond the image where a window of one pixel is padded.
            padded = emit.pad(value, [(0, 0), (0, 0), *layer.window.paddings])
            tops.append(emit.node(op, padded, *parameters, **{**window, "pads": [0] * len(window["pads"])}))
        elif layer.axis == 1:
            tops.append(emit.node(op, value, *parameters, **window))
        else:
            emit.static(*range(layer.axis, emit.ndim(index)), index=index)
            folded = emit.reshape(value, [-1, *emit.shape(index)[layer.axis :]])
            tops.append(emit.as_top(emit.node(op, folded, *parameters, **window), index))
    return tops


@maps("InnerProduct")
def inner_product(layer: InnerProduct, emit: Emitter) -> str:
    """Gemm of items as rows."""
    emit.static(*range(layer.axis, emit.ndim()))
    rows = emit.input if (emit.ndim(), layer.axis) == (2, 1) else emit.node("Flatten", emit.input, axis=layer.axis)
    weight = emit.parameter(0)
    if layer.param.inner_product_param.normalize:
        weight = emit.parameter_as(0, _rows_of_length_1(layer.blobs[0].data))
    parameters = [weight, emit.parameter(1)] if layer.bias_term else [weight]
    result = str(emit.node("Gemm", rows, *parameters, transB=int(not layer.transpose)))
    return result if len(emit.top_shape()) == 2 else emit.as_top(result)


def _rows_of_length_1(weight: Array) -> Array:
    lengths: Array = np.sqrt((weight * weight).sum(1, keepdims=True) + np.float32(1e-6))
    return weight / lengths


@maps("Embed")
def embed(layer: Embed, emit: Emitter) -> str:
    """Gather of rows, and the bias."""
    rows = str(emit.node("Gather", emit.parameter(0), emit.cast(emit.input, np.int64), axis=0))
    return emit.add(rows, emit.parameter(1)) if layer.bias_term else rows


@maps("Local")
def local(layer: Local, emit: Emitter) -> str:
    """Taps of the padded image side by side, and a product of matrices of its own for each pixel."""
    window, (rows, columns) = layer.window, layer.output
    padded = emit.pad(emit.input, [(0, 0), (0, 0), *window.paddings])
    taps = []
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            ends = [y + (rows - 1) * window.stride[0] + 1, x + (columns - 1) * window.stride[1] + 1]
            taps.append(emit.slice(padded, [y, x], ends, [2, 3], window.stride))
    joined = emit.concat([emit.unsqueeze(tap, [2]) for tap in taps], 2)
    # (N, C·taps, pixels), by pixel (pixels, N, C·taps), times (pixels, C·taps, num_output).
    by_pixel = emit.transpose(emit.reshape(joined, [0, layer.blobs[0].shape[2], rows * columns]), (2, 0, 1))
    weight = layer.blobs[0].data[:, 0].transpose(2, 1, 0)
    product = emit.transpose(str(emit.node("MatMul", by_pixel, emit.parameter_as(0, weight))), (1, 2, 0))
    result = emit.reshape(product, [0, layer.num_output, rows, columns])
    if not layer.bias_term:
        return result
    return emit.add(result, emit.parameter_as(1, layer.blobs[1].data.reshape(1, layer.num_output, rows, columns)))
