"""Windows weighted by a softmax of distances on the GPU; their convolution is the masked one."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.segaware_conv import gpu as masked
from segcaffe.window import Window

Array = Any


def softmax(distances: Array, scale: float) -> None:
    windows, taps, positions = _sizes(distances)
    launch("norm_conv", "softmax", windows, distances, -scale, taps, positions, windows)


def softmax_backward(weights: Array, weight_grad: Array, factor: float) -> None:
    windows, taps, positions = _sizes(weights)
    launch("norm_conv", "softmax_backward", windows, weights, weight_grad, factor, taps, positions, windows)


def convolve(x: Array, weights: Array, filters: Array, out: Array, window: Window) -> None:
    masked.forward(x, weights, filters, None, out, window, _groups(x, filters))


def convolve_backward(
    x: Array,
    weights: Array,
    filters: Array,
    out_grad: Array,
    x_grad: Array | None,
    filters_grad: Array | None,
    window: Window,
) -> None:
    group = _groups(x, filters)
    if x_grad is not None:
        masked.backward_data(x, weights, filters, out_grad, x_grad, None, window, group)
    if filters_grad is not None:
        masked.backward_weight(x, weights, out_grad, filters_grad, None, window, group)


def convolve_backward_weights(x: Array, filters: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    # The gradient of the mask does not depend on the mask: the place is taken by the array to be written.
    masked.backward_data(x, weight_grad, filters, out_grad, None, weight_grad, window, _groups(x, filters))


def _groups(x: Array, filters: Array) -> int:
    groups: int = x.shape[1] // filters.shape[1]
    return groups


def _sizes(weights: Array) -> tuple[int, int, int]:
    """Windows, taps of each, and windows of one image."""
    num, taps, rows, columns = weights.shape
    return num * rows * columns, taps, rows * columns
