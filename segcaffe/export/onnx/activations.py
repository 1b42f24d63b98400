"""Layers that map each element by itself."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.base import Layer
from segcaffe.layers.neuron.clip import Clip
from segcaffe.layers.neuron.crelu import CReLU
from segcaffe.layers.neuron.dropout import Dropout
from segcaffe.layers.neuron.elu import ELU
from segcaffe.layers.neuron.exp import Exp
from segcaffe.layers.neuron.hard_sigmoid import Ramp
from segcaffe.layers.neuron.log import Log
from segcaffe.layers.neuron.power import Power
from segcaffe.layers.neuron.prelu import PReLU
from segcaffe.layers.neuron.relu import ReLU
from segcaffe.layers.neuron.selu import SeLU
from segcaffe.layers.neuron.swish import Swish
from segcaffe.layers.neuron.threshold import Threshold

_POWERS = {0.5: "Sqrt", -1.0: "Reciprocal"}
_SIXTH = 1 / 6


@maps("AbsVal")
def abs_val(layer: Layer, emit: Emitter) -> str:
    """Abs."""
    return str(emit.node("Abs", emit.input))


@maps("BNLL")
def bnll(layer: Layer, emit: Emitter) -> str:
    """Softplus."""
    return str(emit.node("Softplus", emit.input))


@maps("Clip")
def clip(layer: Clip, emit: Emitter) -> str:
    """Clip."""
    return emit.clip(emit.input, layer.low, layer.high)


@maps("CReLU")
def crelu(layer: CReLU, emit: Emitter) -> str:
    """The rectified values, and those of the opposite sign, along the channels."""
    turned = str(emit.node("Neg", emit.input))
    return emit.concat([_rectified(emit, value, layer.slope) for value in (emit.input, turned)], 1)


@maps("Dropout")
def dropout(layer: Dropout, emit: Emitter) -> str:
    """Nothing, or with scale_train false the factor 1 - dropout_ratio."""
    if layer.drops:
        emit.refuse(
            "with sample_weights_test it draws at random in TEST, too", "Remove sample_weights_test for the export"
        )
    return emit.input if layer.param.dropout_param.scale_train else emit.times(emit.input, 1 - layer.ratio)


@maps("ScaleFilter", "SeLUDropout", "SeLuDropout", "SpatialDropout")
def nothing(layer: Layer, emit: Emitter) -> str:
    """Nothing: what they do, they do in TRAIN."""
    return emit.input


@maps("ELU")
def elu(layer: ELU, emit: Emitter) -> str:
    """Elu, times lambda."""
    return emit.times(str(emit.node("Elu", emit.input, alpha=layer.alpha)), layer.factor)


@maps("Exp")
def exp(layer: Exp, emit: Emitter) -> str:
    """Exp of a multiple, times a factor: together base^(scale·x + shift)."""
    return emit.times(str(emit.node("Exp", emit.times(emit.input, layer.inner))), layer.outer)


@maps("HardSigmoid", "HSigmoid")
def hard_sigmoid(layer: Ramp, emit: Emitter) -> str:
    """HardSigmoid."""
    slope, shift = layer.ramp
    return str(emit.node("HardSigmoid", emit.input, alpha=slope, beta=shift))


@maps("HardSwish", "HSwish")
def hard_swish(layer: Layer, emit: Emitter) -> str:
    """HardSwish, before opset 14 of its parts."""
    if emit.opset >= 14:
        return str(emit.node("HardSwish", emit.input))
    return emit.mul(emit.input, str(emit.node("HardSigmoid", emit.input, alpha=_SIXTH, beta=0.5)))


@maps("Log")
def log(layer: Log, emit: Emitter) -> str:
    """Log of a linear function, times a factor."""
    inner = emit.plus(emit.times(emit.input, layer.scale), layer.shift)
    return emit.times(str(emit.node("Log", inner)), layer.outer)


@maps("Mish")
def mish(layer: Layer, emit: Emitter) -> str:
    """Mish, before opset 18 of its parts."""
    if emit.opset >= 18:
        return str(emit.node("Mish", emit.input))
    return emit.mul(emit.input, str(emit.node("Tanh", emit.node("Softplus", emit.input))))


@maps("Power")
def power(layer: Power, emit: Emitter) -> str:
    """Pow of a linear function; simpler operators for simple powers."""
    if layer.constant:
        value = layer.shift**layer.power if layer.power else 1.0
        return str(emit.node("Expand", emit.number(value, "value"), emit.node("Shape", emit.input)))
    inner = emit.plus(emit.times(emit.input, layer.scale), layer.shift)
    if layer.power == 1:
        return inner
    if layer.power == 2:
        return emit.mul(inner, inner)
    if layer.power in _POWERS:
        return str(emit.node(_POWERS[layer.power], inner))
    return str(emit.node("Pow", inner, emit.number(layer.power, "power")))


@maps("PReLU")
def prelu(layer: PReLU, emit: Emitter) -> str:
    """PRelu; the slopes stand on the channels' axis."""
    ones = (1,) * max(0, emit.ndim() - 2)
    shape = (1,) if layer.shared else (layer.blobs[0].count, *ones)
    return str(emit.node("PRelu", emit.input, emit.parameter_as(0, emit.values(0).reshape(shape))))


@maps("ReLU")
def relu(layer: ReLU, emit: Emitter) -> str:
    """Relu, LeakyRelu with a negative_slope, Clip where there are limits."""
    value = _rectified(emit, emit.input, layer.slope)
    if not layer.limited:
        return value
    low, high = (limit if math.isfinite(limit) else None for limit in (layer.low, layer.high))
    return emit.clip(value, low, high)


def _rectified(emit: Emitter, value: str, slope: float) -> str:
    return str(emit.node("LeakyRelu", value, alpha=slope) if slope else emit.node("Relu", value))


@maps("ReLU6")
def relu6(layer: Layer, emit: Emitter) -> str:
    """Clip."""
    return emit.clip(emit.input, 0, 6)


@maps("SeLU", "SeLu", "SELU")
def selu(layer: SeLU, emit: Emitter) -> str:
    """Selu."""
    factor, alpha = layer.numbers
    return str(emit.node("Selu", emit.input, alpha=alpha, gamma=factor))


@maps("Sigmoid")
def sigmoid(layer: Layer, emit: Emitter) -> str:
    """Sigmoid."""
    return str(emit.node("Sigmoid", emit.input))


@maps("Swish")
def swish(layer: Swish, emit: Emitter) -> str:
    """The value times the Sigmoid of a multiple."""
    return emit.mul(emit.input, str(emit.node("Sigmoid", emit.times(emit.input, layer.beta))))


@maps("TanH")
def tanh(layer: Layer, emit: Emitter) -> str:
    """Tanh."""
    return str(emit.node("Tanh", emit.input))


@maps("Threshold")
def threshold(layer: Threshold, emit: Emitter) -> str:
    """Greater, as numbers."""
    above = str(emit.node("Greater", emit.input, emit.number(layer.threshold, "threshold")))
    return emit.cast(above, np.float32)
