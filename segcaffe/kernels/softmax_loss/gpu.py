"""Softmax with log loss on the GPU: probabilities, then sums of parts of the labels, then of the parts."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch, launch_blocks
from segcaffe.kernels.dist_loss.gpu import parts_of
from segcaffe.kernels.softmax import gpu as softmax


def forward(x: Array, label: Array, weight: Array, ignore: int, floor: float, prob: Array, totals: Array) -> None:
    _, classes, inner = x.shape
    softmax.forward(x, prob)
    parts = parts_of(label.size)
    partial = xp().empty((3, parts), "float64")
    numbers = (ignore, floor, partial, classes, inner, label.size)
    launch_blocks("softmax_loss", "partial_sums", parts, prob, label, weight, *numbers)
    launch_blocks("softmax_loss", "add_partial_sums", 1, partial, parts, totals)


def backward(prob: Array, label: Array, weight: Array, ignore: int, scale: float, out: Array) -> None:
    numbers = (ignore, scale, out, *prob.shape[1:], prob.size)
    launch("softmax_loss", "backward", prob.size, prob, label, weight, *numbers)
