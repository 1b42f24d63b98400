"""Layers that multiply and add what is broadcast."""

from __future__ import annotations

from segcaffe.export.torch.names import call
from segcaffe.export.torch.registry import writes
from segcaffe.export.torch.site import Held, Shape, Site


@writes("Add", fresh=True)
def _add(site: Site) -> str:
    return f"{site.x} + {site.bottoms[1]}"


@writes("Mul", fresh=True)
def _mul(site: Site) -> str:
    other = site.bottoms[1] if len(site.bottoms) > 1 else site.parameter(0)
    return f"{site.x} * {other}"


@writes("Axpy", fresh=True)
def _axpy(site: Site) -> str:
    a, x, z = site.bottoms
    factors, values = (len(shape) for shape in site.bottom_shapes[:2])
    if factors > 2 and factors != values:
        a, factors = f"{a}.flatten(1)", 2
    return f"{with_axes(a, values - factors)} * {x} + {z}"


@writes("SpatialProduct", fresh=True)
def _product(site: Site) -> str:
    return f"{site.x} * {site.bottoms[1]}"


def with_axes(text: str, count: int) -> str:
    """A tensor with axes of 1 behind its own."""
    return f"{text}[..., {', '.join(['None'] * count)}]" if count else text


def spread(shape: Shape, axis: int, ndim: int) -> Shape:
    """A parameter's shape with axes of 1 behind, so that it is broadcast over the others."""
    return (*shape, *(1,) * (ndim - axis - len(shape))) if shape else ()


@writes("Scale", wraps=True, fresh=True)
def _scale(site: Site) -> str:
    layer, ndim = site.layer, site.ndim
    axis = site.axis(layer.axis)
    if not layer.has_parameter:
        factor = site.bottoms[1]
        own = len(site.bottom_shapes[1])
        text = f"{site.term} * {with_axes(factor, ndim - axis - own if own else 0)}"
        if layer.bias_index is None:
            return text
        shape = spread(tuple(layer.blobs[layer.bias_index].shape), axis, ndim)
        return f"{text} + {site.parameter(layer.bias_index, 'bias', shape)}"
    shape = spread(tuple(layer.blobs[0].shape), axis, ndim)
    if layer.bias_index is None:
        return f"{site.term} * {site.parameter(0, '', shape, value=1)}"
    module = site.module(call(site.piece("Scale"), shape), {"weight": Held(0, shape), "bias": Held(1, shape)})
    return f"{module}({site.x})"


@writes("Bias", wraps=True, fresh=True)
def _bias(site: Site) -> str:
    layer, ndim = site.layer, site.ndim
    axis = site.axis(layer.axis)
    if layer.has_parameter:
        return f"{site.term} + {site.parameter(0, '', spread(tuple(layer.blobs[0].shape), axis, ndim))}"
    own = len(site.bottom_shapes[1])
    return f"{site.term} + {with_axes(site.bottoms[1], ndim - axis - own if own else 0)}"
