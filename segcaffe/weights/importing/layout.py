"""Whether a tensor is a parameter in another layout, and its values in the parameter's."""

from __future__ import annotations

import math
from typing import NamedTuple

from segcaffe.weights.importing.source import Array, Shape, Tensor
from segcaffe.weights.importing.units import Slot

TRANSPOSED, RESHAPED = "transposed", "reshaped"


class Layout(NamedTuple):
    """How a tensor becomes a parameter.

    Attributes
    ----------
    values:
        In the parameter's shape.
    how:
        "", "reshaped" or "transposed".
    """

    values: Array
    how: str


def layout(slot: Slot, tensor: Tensor) -> Layout | None:
    """The tensor as the parameter, or None where its shape says that it is not.

    Axes of extent 1 do not count. A matrix may be a convolution's kernels written out, or the other way round, as
    behind a Flatten. A matrix is turned around where ONNX's operator or the layer's ``transpose`` says so, never
    because its shape fits better so.
    """
    values = tensor.values
    turned = tensor.turned != bool(getattr(slot.layer, "transpose", False) and slot.index == 0)
    if slot.layer.type == "Local" and slot.index == 0 and tensor.turned:
        values, turned = values.transpose(2, 1, 0), True
    elif turned and values.ndim >= 2:
        values = values.swapaxes(-1, -2)
    if not _alike(slot.shape, tuple(values.shape)):
        return None
    how = TRANSPOSED if turned and values.ndim >= 2 else "" if tensor.shape == slot.shape else RESHAPED
    return Layout(values.reshape(slot.shape), how)


def _alike(wanted: Shape, given: Shape) -> bool:
    """Whether shapes are the same but for axes of 1, or a matrix and the kernels that are its rows."""
    if len(wanted) == len(given):
        return wanted == given
    if _squeezed(wanted) == _squeezed(given):
        return True
    matrix, kernels = sorted((wanted, given), key=len)
    if len(matrix) != 2 or len(kernels) < 3 or matrix[0] != kernels[0]:
        return False
    return matrix[1] == math.prod(kernels[1:])


def _squeezed(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)
