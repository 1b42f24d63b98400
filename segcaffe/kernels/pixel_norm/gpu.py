"""Lengths of pixels on the GPU: a thread for each pixel."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.channelwise import gpu as channelwise
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.pixel_norm import Epsilon


def forward(x: Array, scale: Array, norm: Array, y: Array, epsilon: Epsilon) -> None:
    numbers = epsilon.inside, epsilon.outside, *x.shape[1:], norm.size
    launch("pixel_norm", "forward", norm.size, x, scale, norm, y, *numbers)


def backward(x: Array, scale: Array, norm: Array, dy: Array, dx: Array) -> None:
    launch("pixel_norm", "backward", norm.size, x, scale, norm, dy, dx, *x.shape[1:], norm.size)


def scale_grad(x: Array, norm: Array, dy: Array, out: Array) -> None:
    channelwise.channel_dot(x / norm[:, None], dy, out)
