"""Channel-wise maps and sums on the GPU.

Sums are made in two steps: of parts, whose number depends on the shape only, then of the parts in order.
"""

from __future__ import annotations

from typing import Any

from segcaffe.device.mode import xp
from segcaffe.kernels.cuda.compile import BLOCK, launch, launch_blocks

Array = Any
_SUM, _DOT, _DOT_NEGATIVE = range(3)
_BLOCKS = 1024
"""Blocks that fill a device, roughly."""


def affine(x: Array, scale: Array, bias: Array, y: Array) -> None:
    launch("channelwise", "affine", y.size, x, scale, bias, y, *y.shape[1:], y.size)


def rectified_affine(x: Array, scale: Array, bias: Array, slope: Array, y: Array) -> None:
    launch("channelwise", "rectified_affine", y.size, x, scale, bias, slope, y, *y.shape[1:], y.size)


def rectified_affine_grad(y: Array, dy: Array, scale: Array, slope: float, dx: Array) -> None:
    launch("channelwise", "rectified_affine_grad", dx.size, y, dy, scale, float(slope), dx, *dx.shape[1:], dx.size)


def channel_sum(x: Array, out: Array) -> None:
    reduce_channels(_SUM, x, None, out)


def channel_dot(a: Array, b: Array, out: Array) -> None:
    reduce_channels(_DOT, a, b, out)


def prelu(x: Array, slope: Array, y: Array) -> None:
    prelu_grad(x, x, slope, y)


def prelu_grad(x: Array, dy: Array, slope: Array, dx: Array) -> None:
    launch("channelwise", "prelu_grad", dx.size, x, dy, slope, dx, *dx.shape[1:], dx.size)


def prelu_slope_grad(x: Array, dy: Array, out: Array) -> None:
    reduce_channels(_DOT_NEGATIVE, x, dy, out)


def reduce_channels(what: int, a: Array, b: Array | None, out: Array, accumulate: bool = False) -> None:
    """Set ``out`` (channels,) to the sums of a (outer, channels, inner), a·b, or a·b where a <= 0; or add them."""
    outer, channels, inner = a.shape
    if a.size == 0:
        out[...] = out if accumulate else 0
        return
    parts = parts_of(outer * inner, channels)
    partial = xp().empty((channels, parts), "float64")
    if inner == 1:
        grid = (-(-channels // BLOCK), parts)
        launch_blocks("channelwise", "partial_row_sums", grid, a, b, what, partial, outer, channels)
    else:
        launch_blocks("channelwise", "partial_sums", (parts, channels), a, b, what, partial, outer, channels, inner)
    launch("channelwise", "add_partial_sums", channels, partial, parts, out, channels, accumulate)


def parts_of(size: int, sums: int) -> int:
    """Into how many parts to divide each of so many sums over ``size`` elements."""
    return max(1, min(_BLOCKS // sums, size // (4 * BLOCK)))
