"""Bilinear resizing on the GPU: each pixel of the gradient gathers, by binary search, from the outputs it shares in."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch


def forward(image: Array, top: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    sizes = (*image.shape[2:], *top.shape[2:])
    launch("interp", "forward", top.size, image, top, low_y, weight_y, low_x, weight_x, *sizes, top.size)


def backward(top_grad: Array, image_grad: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    arrays = (top_grad, image_grad, low_y, weight_y, low_x, weight_x)
    sizes = (*image_grad.shape[2:], *top_grad.shape[2:])
    launch("interp", "backward", image_grad.size, *arrays, *sizes, image_grad.size)
