"""Layers that work element by element."""

from __future__ import annotations

import math

from segcaffe.export.torch.names import call, number
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Held, Site
from segcaffe.layers.neuron.relu import limits


def scaled(factor: float, text: str, addend: float = 0) -> str:
    """``factor * text + addend`` without what changes nothing."""
    product = text if factor == 1 else f"-{text}" if factor == -1 else f"{number(factor)} * {text}"
    if addend == 0:
        return product
    return f"{product} - {number(-addend)}" if addend < 0 else f"{product} + {number(addend)}"


@writes("AbsVal", wraps=True)
def _abs(site: Site) -> str:
    return f"torch.abs({site.x})"


@writes("BNLL", wraps=True)
def _softplus(site: Site) -> str:
    return f"F.softplus({site.x})"


@writes("Clip", wraps=True)
def _clip(site: Site) -> str:
    return call("torch.clamp", site.x, site.layer.low, site.layer.high)


@writes("CReLU")
def _crelu(site: Site) -> str:
    slope = site.layer.slope
    positive, negative = (_leaky(x, slope, None) for x in (site.x, f"-{site.x}"))
    return f"torch.cat([{positive}, {negative}], 1)"


@writes("Dropout", wraps=True)
def _dropout(site: Site) -> str:
    options = site.param.dropout_param
    training = "True" if options.sample_weights_test else "self.training"
    text = call("F.dropout", site.x, options.dropout_ratio, training=training)
    return text if options.scale_train else scaled(1 - options.dropout_ratio, text)


@writes("SpatialDropout", wraps=True)
def _spatial_dropout(site: Site) -> str:
    function = {2: "F.dropout", 3: "F.dropout1d", 5: "F.dropout3d"}.get(site.ndim, "F.dropout2d")
    return call(function, site.x, site.layer.ratio, training="self.training")


@writes("ScaleFilter", wraps=True)
def _scale_filter(site: Site) -> str:
    return call(site.piece("scale_channels"), site.x, site.layer.low, site.layer.high, "self.training")


@writes("SeLUDropout", "SeLuDropout", wraps=True)
def _selu_dropout(site: Site) -> str:
    return call(site.piece("selu_dropout"), site.x, site.layer.ratio, site.layer.alpha, "self.training")


@writes("ELU", wraps=True)
def _elu(site: Site) -> str:
    return scaled(site.layer.factor, call("F.elu", site.x, site.layer.alpha, inplace=site.inplace))


@writes("SeLU", "SeLu", "SELU", wraps=True)
def _selu(site: Site) -> str:
    factor, alpha = site.layer.numbers
    return scaled(factor, call("F.elu", site.x, alpha))


@writes("Exp", wraps=True)
def _exp(site: Site) -> str:
    return scaled(site.layer.outer, f"torch.exp({scaled(site.layer.inner, site.term)})")


@writes("Log", wraps=True)
def _log(site: Site) -> str:
    layer = site.layer
    return scaled(layer.outer, f"torch.log({scaled(layer.scale, site.term, layer.shift)})")


@writes("HardSigmoid", wraps=True)
def _hard_sigmoid(site: Site) -> str:
    slope, shift = site.layer.ramp
    return f"torch.clamp({scaled(slope, site.term, shift)}, 0, 1)"


@writes("HSigmoid", wraps=True)
def _hsigmoid(site: Site) -> str:
    return f"F.hardsigmoid({site.x})"


@writes("HardSwish", "HSwish", wraps=True)
def _hard_swish(site: Site) -> str:
    return f"F.hardswish({site.x})"


@writes("Mish", wraps=True)
def _mish(site: Site) -> str:
    return f"F.mish({site.x})"


@writes("Power", wraps=True, fresh=True)
def _power(site: Site) -> str:
    layer = site.layer
    if layer.constant:
        return call("torch.full_like", site.x, layer.shift**layer.power if layer.power else 1)
    linear = scaled(layer.scale, site.term, layer.shift)
    if layer.power == 1:
        return linear
    return f"torch.square({linear})" if layer.power == 2 else f"torch.pow({linear}, {number(layer.power)})"


@writes("PReLU", wraps=True)
def _prelu(site: Site) -> str:
    if site.layer.shared:
        return f"{site.module('nn.PReLU()', {'weight': Held(0, (1,))})}({site.x})"
    return f"{site.module(call('nn.PReLU', site.layer.blobs[0].count), {'weight': 0})}({site.x})"


@writes("ReLU", wraps=True)
def _relu(site: Site) -> str:
    low, high = limits(site.param.relu_param)
    slope = site.layer.slope
    if not slope and (low, high) == (-math.inf, 6):
        return call("F.relu6", site.x, inplace=site.inplace)
    text = _leaky(site.x, slope, site.inplace)
    if math.isinf(low) and math.isinf(high):
        return text
    return call("F.hardtanh", text, low, high)


def _leaky(x: str, slope: float, inplace: bool | None) -> str:
    if not slope:
        return call("F.relu", x, inplace=inplace)
    # The gradient in place is told by the sign of the output.
    return call("F.leaky_relu", x, slope, inplace=inplace if slope > 0 else None)


@writes("ReLU6", wraps=True)
def _relu6(site: Site) -> str:
    return call("F.relu6", site.x, inplace=site.inplace)


@writes("Sigmoid", wraps=True)
def _sigmoid(site: Site) -> str:
    return f"torch.sigmoid({site.x})"


@writes("Swish")
def _swish(site: Site) -> str:
    beta = site.layer.beta
    return f"F.silu({site.x})" if beta == 1 else f"{site.x} * torch.sigmoid({scaled(beta, site.x)})"


@writes("TanH", wraps=True)
def _tanh(site: Site) -> str:
    return f"torch.tanh({site.x})"


@writes("Threshold")
def _threshold(site: Site) -> str:
    return f"({site.x} > {number(site.layer.threshold)}).to({site.x}.dtype)"
