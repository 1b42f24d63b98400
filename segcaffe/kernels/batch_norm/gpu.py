"""Statistics of channels on the GPU: sums of a number of parts that follows from the shape, then of the parts."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.channelwise.gpu import parts_of
from segcaffe.kernels.cuda.compile import launch, launch_blocks


def moments(x: Array, mean: Array, variance: Array) -> None:
    num, channels, length = x.shape
    if x.size == 0:
        mean[...] = variance[...] = 0
        return
    parts = parts_of(num * length, channels)
    partial = xp().empty((2, channels, parts), "float64")
    launch_blocks("batch_norm", "partial_powers", (parts, channels), x, partial, *x.shape)
    numbers = (channels, length, num * length)
    launch("batch_norm", "moments", channels, x, partial, parts, mean, variance, *numbers)


def normalize(x: Array, mean: Array, scale: Array, out: Array) -> None:
    launch("batch_norm", "normalize", x.size, x, mean, scale, out, *x.shape[1:], x.size)


def backward(x: Array, mean: Array, scale: Array, grad: Array, out: Array) -> None:
    num, channels, length = x.shape
    if x.size == 0:
        return
    parts = parts_of(num * length, channels)
    partial, averages = xp().empty((2, channels, parts), "float64"), xp().empty((2, channels), "float64")
    launch_blocks("batch_norm", "partial_gradients", (parts, channels), x, mean, grad, partial, *x.shape)
    launch("batch_norm", "average_gradients", channels, partial, parts, scale, averages, channels, num * length)
    launch("batch_norm", "backward", x.size, x, mean, scale, grad, averages, out, channels, length, x.size)
