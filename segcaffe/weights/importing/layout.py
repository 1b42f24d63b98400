"""Whether a tensor is a parameter in another layout, and its values in the parameter's."""

from __future__ import annotations

import math
from typing import NamedTuple

from segcaffe.weights.importing.source import Array, Shape, Tensor
from segcaffe.weights.importing.units import Slot

TRANSPOSED, RESHAPED, NEGATED = "transposed", "reshaped", "negated"


class Layout(NamedTuple):
    """How a tensor becomes a parameter.

    Attributes
    ----------
    values:
        In the parameter's shape.
    how:
        "", "reshaped", "transposed" or "negated".
    """

    values: Array
    how: str


def layout(slot: Slot, tensor: Tensor, named: bool = False) -> Layout | None:
    """The tensor as the parameter, or None where its shape says that it is not.

    Axes of extent 1 do not count where there are more or fewer axes. A matrix may be a convolution's kernels written
    out, or the other way round, as behind a Flatten; of a tensor that is ``named`` after the parameter any axes may be
    joined. A matrix is turned around where ONNX's operator or the layer's ``transpose`` says so, never because its
    shape fits better so.
    """
    values = tensor.values
    turned = tensor.turned != bool(getattr(slot.layer, "transpose", False) and slot.index == 0)
    if slot.layer.type == "Local" and slot.index == 0 and tensor.turned:
        values, turned = values.transpose(2, 1, 0), True
    elif turned and values.ndim >= 2:
        values = values.swapaxes(-1, -2)
    given = tuple(values.shape)
    if not _alike(slot.shape, given) and not (named and _joins(slot.shape, given)):
        return None
    if slot.layer.type == "NormConv" and slot.role == "scale" and tensor.operator:
        return Layout(-values.reshape(slot.shape), NEGATED)
    how = TRANSPOSED if turned and values.ndim >= 2 else "" if tensor.shape == slot.shape else RESHAPED
    return Layout(values.reshape(slot.shape), how)


def _alike(wanted: Shape, given: Shape) -> bool:
    """Whether shapes are the same but for axes of 1, or a matrix and the kernels that are its rows."""
    if len(wanted) == len(given) and given[2:] != (1,) * len(given[2:]):
        return wanted == given
    if len(wanted) != len(given) and _squeezed(wanted) == _squeezed(given):
        return True
    matrix, kernels = sorted((_whole(wanted), _whole(given)), key=len)
    if len(matrix) != 2 or len(kernels) < 3 or matrix[0] != kernels[0]:
        return wanted == given
    return matrix[1] == math.prod(kernels[1:])


def _joins(first: Shape, second: Shape) -> bool:
    """Whether one of the shapes is the other with neighbouring axes joined."""
    few, many = sorted((_squeezed(first), _squeezed(second)), key=len)
    rest = list(many)
    for extent in few:
        joined = 1
        while joined < extent and rest:
            joined *= rest.pop(0)
        if joined != extent:
            return False
    return not rest


def _whole(shape: Shape) -> Shape:
    """A shape without axes of 1 at its end, of which two stay."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _squeezed(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)
