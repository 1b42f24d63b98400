"""Products, sums and slopes along one axis: arrays of shape (outer, channels, inner) with a vector over the channels.

Every array is contiguous; the output may be the very array that is ``x`` or ``dy``.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("y",))
def affine(x: Array, scale: Array, bias: Array, y: Array) -> None:
    """Set y = scale·x + bias for x, y (outer, channels, inner); scale, bias (channels,)."""


@kernel(writes=("y",))
def rectified_affine(x: Array, scale: Array, bias: Array, slope: Array, y: Array) -> None:
    """Set y = v where v = scale·x + bias > 0, else slope·v, or 0 where slope is 0.

    Shapes are as in `affine`; slope (channels,).
    """


@kernel(writes=("dx",))
def rectified_affine_grad(y: Array, dy: Array, scale: Array, slope: float, dx: Array) -> None:
    """Set dx = scale·dy where y > 0, else slope·scale·dy, for y, dy, dx (outer, channels, inner); scale (channels,)."""


@kernel(writes=("out",))
def channel_sum(x: Array, out: Array) -> None:
    """Set out (channels,) to the sums of x (outer, channels, inner) over outer and inner."""


@kernel(writes=("out",))
def channel_dot(a: Array, b: Array, out: Array) -> None:
    """Set out (channels,) to the sums of a·b (outer, channels, inner) over outer and inner."""


@kernel(writes=("y",))
def prelu(x: Array, slope: Array, y: Array) -> None:
    """Set y = x where x > 0, else slope·x, for x, y (outer, channels, inner); slope (channels,)."""


@kernel(writes=("dx",))
def prelu_grad(x: Array, dy: Array, slope: Array, dx: Array) -> None:
    """Set dx = dy where x > 0, else slope·dy; shapes as in `prelu`."""


@kernel(writes=("out",))
def prelu_slope_grad(x: Array, dy: Array, out: Array) -> None:
    """Set out (channels,) to the sums of dy·x where x <= 0."""
