"""BatchNorm, LRN and what else brings values to a common size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.layers.normalize.bn import BN
from segcaffe.layers.normalize.lrn import LRN
from segcaffe.layers.normalize.mvn import MVN
from segcaffe.layers.normalize.normalize import Normalize
from segcaffe.layers.normalize.softmax import Softmax
from segcaffe.layers.normalize.unit_length import UnitLength

_USUAL_BETA = 0.75
"""LRN's exponent, unless told, which two roots give."""


@maps("BatchNorm")
def batch_norm(layer: BatchNorm, emit: Emitter) -> str:
    """BatchNormalization by the stored statistics, or the batch's own; a scale and a shift inside come last."""
    if layer.use_stored:
        mean, deviation = layer.stored_statistics()
        return _by_constants(layer, emit, mean, deviation)
    axes = [axis for axis in range(emit.ndim()) if axis != 1 or emit.ndim() == 1]
    centred, variance = _moments(emit, emit.input, axes)[::2]
    value = _over_deviation(emit, centred, variance, layer.eps)
    if layer.scales:
        value = emit.mul(value, _channel(emit, 3))
    return emit.add(value, _channel(emit, 4)) if layer.shifts else value


def _by_constants(layer: BatchNorm, emit: Emitter, mean: Array, deviation: Array) -> str:
    if emit.ndim() == 1:
        # One channel, and no axis for it: the operator needs one.
        factor = layer.blobs[3].data / deviation if layer.scales else 1 / deviation
        shift = -mean * factor + (layer.blobs[4].data if layer.shifts else 0)
        value = emit.mul(emit.input, emit.constant(factor.astype(np.float32), "scale"))
        return emit.add(value, emit.constant(shift.astype(np.float32), "shift"))
    scale = emit.parameter(3) if layer.scales else emit.constant(np.ones(layer.channels, np.float32), "scale")
    shift_name = emit.parameter(4) if layer.shifts else emit.constant(np.zeros(layer.channels, np.float32), "shift")
    if layer.adds_eps_behind:
        eps, variance = 0.0, deviation**2
    else:
        eps, variance = layer.eps, deviation**2 - layer.eps
    statistics = emit.parameter_as(0, mean), emit.parameter_as(1, np.maximum(variance, 0))
    return str(emit.node("BatchNormalization", emit.input, scale, shift_name, *statistics, epsilon=eps))


@maps("BN")
def bn(layer: BN, emit: Emitter) -> list[str]:
    """PSPNet's by stored statistics, SegNet's by a scale and a shift, or by the batch's own."""
    if layer.folded:
        return [emit.add(emit.mul(emit.input, _channel(emit, 0)), _channel(emit, 1))]
    if not layer.of_batch:
        rows = [emit.parameter_as(index, emit.values(index).reshape(-1)) for index in range(4)]
        return [str(emit.node("BatchNormalization", emit.input, *rows, epsilon=layer.eps))]
    axes = [axis for axis in range(emit.ndim()) if axis != 1]
    centred, mean, variance = _moments(emit, emit.input, axes)
    value = _over_deviation(emit, centred, variance, layer.eps)
    value = emit.add(emit.mul(value, _channel(emit, 0)), _channel(emit, 1))
    more = [emit.reshape(part, emit.top_shape(i)) for i, part in enumerate((mean, variance), 1) if i < len(emit.top)]
    return [value, *more]


def _channel(emit: Emitter, index: int) -> str:
    """A parameter of one value for each channel, on the channels' axis."""
    ndim = emit.ndim()
    shape = (1, -1, *(1,) * (ndim - 2)) if ndim > 1 else (-1,)
    return emit.parameter_as(index, emit.values(index).reshape(shape))


def _moments(emit: Emitter, value: str, axes: Sequence[int]) -> tuple[str, str, str]:
    """The value less its mean over axes, the mean, and the variance."""
    mean = emit.reduce("ReduceMean", value, axes)
    centred = emit.sub(value, mean)
    return centred, mean, emit.reduce("ReduceMean", emit.mul(centred, centred), axes)


def _over_deviation(emit: Emitter, centred: str, variance: str, inside: float, outside: float = 0.0) -> str:
    """The value over sqrt(variance + inside) + outside."""
    return emit.div(centred, emit.plus(str(emit.node("Sqrt", emit.plus(variance, inside))), outside))


@maps("MVN")
def mvn(layer: MVN, emit: Emitter) -> str:
    """The value less its mean, over deviation + eps."""
    axes = list(range(1 if layer.across_channels else 2, emit.ndim()))
    # Where an item or a channel is one value, its mean is taken over an axis put in for that.
    value = emit.input if axes else emit.unsqueeze(emit.input, [emit.ndim()])
    centred, _, variance = _moments(emit, value, axes or [emit.ndim()])
    if layer.normalize_variance:
        centred = _over_deviation(emit, centred, variance, 0.0, layer.eps)
    return centred if axes else emit.squeeze(centred, [emit.ndim()])


@maps("LRN")
def lrn(layer: LRN, emit: Emitter) -> str:
    """The mean of squares by AveragePool, over channels or pixels; ONNX Runtime's LRN loses digits and takes longer."""
    response = layer.response
    squares, half = emit.mul(emit.input, emit.input), (response.size - 1) // 2
    if response.across:
        channels, *spatial = emit.shape()[1:]
        emit.static(1, 2, 3)
        columns = emit.reshape(squares, [-1, 1, channels, math.prod(spatial)])
        padded = emit.pad(columns, [(0, 0), (0, 0), (half, half), (0, 0)])
        mean = emit.as_bottom(emit.node("AveragePool", padded, kernel_shape=[response.size, 1], strides=[1, 1]))
    else:
        padded = emit.pad(squares, [(0, 0), (0, 0), (half, half), (half, half)])
        mean = str(emit.node("AveragePool", padded, kernel_shape=[response.size] * 2, strides=[1, 1]))
    scale = emit.plus(emit.times(mean, response.alpha), response.k)
    if response.beta != _USUAL_BETA:
        return emit.mul(emit.input, str(emit.node("Pow", scale, emit.number(-response.beta, "power"))))
    root = str(emit.node("Sqrt", scale))
    return emit.div(emit.input, emit.mul(root, str(emit.node("Sqrt", root))))


@maps("Normalize")
def normalize(layer: Normalize, emit: Emitter) -> list[str]:
    """The value over its length, times the scale; a second top is the length."""
    axes = list(range(1, emit.ndim())) if layer.across_spatial else [1]
    squares = emit.reduce("ReduceSumSquare", emit.input, axes)
    length = emit.plus(str(emit.node("Sqrt", emit.plus(squares, layer.epsilon.inside))), layer.epsilon.outside)
    value = emit.div(emit.input, length)
    if len(layer.blobs):
        value = emit.mul(value, _channel(emit, 0) if layer.blobs[0].ndim else emit.parameter(0))
    return [value, length][: len(emit.top)]


@maps("GRN", "L2Normalization")
def unit_length(layer: UnitLength, emit: Emitter) -> str:
    """The value over its length."""
    squares = emit.reduce("ReduceSumSquare", emit.input, list(range(*layer.axes(emit.ndim()))))
    return emit.div(emit.input, str(emit.node("Sqrt", emit.plus(squares, layer.eps))))


@maps("Softmax")
def softmax(layer: Softmax, emit: Emitter) -> str:
    """Softmax along one axis."""
    return emit.softmax(emit.input, layer.axis, emit.ndim())
