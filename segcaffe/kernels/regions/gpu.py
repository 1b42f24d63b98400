"""Pooling over regions on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch


def max_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array, place: Array) -> None:
    sizes = (*x.shape[1:], *y.shape[2:], y.size)
    launch("regions", "max_forward", y.size, x, item, rows, columns, y, place, *sizes)


def max_backward(dy: Array, item: Array, place: Array, dx: Array) -> None:
    regions, channels, high, wide = dy.shape
    sizes = (regions, channels, high * wide, dx.shape[2] * dx.shape[3], dx.size)
    launch("regions", "max_backward", dx.size, dy, item, place, dx, *sizes)


def mean_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array) -> None:
    sizes = (y.shape[1], *x.shape[2:], *y.shape[2:], y.size)
    launch("regions", "mean_forward", y.size, x, item, rows, columns, y, *sizes)


def mean_backward(dy: Array, item: Array, rows: Array, columns: Array, dx: Array) -> None:
    sizes = (*dy.shape[:2], *dx.shape[2:], *dy.shape[2:], dx.size)
    launch("regions", "mean_backward", dx.size, dy, item, rows, columns, dx, *sizes)


def sample_forward(x: Array, item: Array, low: Array, weight: Array, y: Array) -> None:
    sizes = (*x.shape[1:], *y.shape[2:], low.shape[1] // sum(y.shape[2:]), y.size)
    launch("regions", "sample_forward", y.size, x, item, low, weight, y, *sizes)


def sample_backward(dy: Array, item: Array, low: Array, weight: Array, dx: Array) -> None:
    sizes = (*dy.shape[:2], *dx.shape[2:], *dy.shape[2:], low.shape[1] // sum(dy.shape[2:]), dx.size)
    launch("regions", "sample_backward", dx.size, dy, item, low, weight, dx, *sizes)
