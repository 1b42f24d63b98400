"""Maxima over groups of channels on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch


def forward(x: Array, y: Array, first: Array) -> None:
    launch("group_max", "forward", y.size, x, y, first, *x.shape[1:], y.size)


def backward(dy: Array, first: Array, dx: Array) -> None:
    launch("group_max", "backward", dx.size, dy, first, dx, *dx.shape[1:], dx.size)
