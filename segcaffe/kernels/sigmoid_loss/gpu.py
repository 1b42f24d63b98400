"""Sigmoid cross entropy on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch, launch_blocks
from segcaffe.kernels.dist_loss.gpu import parts_of


def forward(x: Array, target: Array, ignore: int, totals: Array) -> None:
    parts = parts_of(x.size)
    partial = xp().empty((2, parts), "float64")
    launch_blocks("sigmoid_loss", "partial_sums", parts, x, target, ignore, partial, x.size)
    launch_blocks("sigmoid_loss", "add_partial_sums", 1, partial, parts, totals)


def backward(x: Array, target: Array, ignore: int, scale: float, out: Array) -> None:
    launch("sigmoid_loss", "backward", x.size, x, target, ignore, scale, out, x.size)
