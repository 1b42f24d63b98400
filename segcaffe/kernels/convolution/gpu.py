"""Convolution on the GPU: cuDNN where it is installed, else columns of a part of the work at a time and cuBLAS.

A window of one pixel needs no columns: its convolution is a product.
"""

from __future__ import annotations

import math

from segcaffe.device import cublas, cudnn
from segcaffe.device.mode import Array
from segcaffe.kernels.channelwise import gpu as channelwise
from segcaffe.kernels.elementwise import gpu as elementwise
from segcaffe.kernels.im2col.gpu import Geometry
from segcaffe.kernels.segaware_conv import gpu as masked
from segcaffe.kernels.segaware_conv.gpu_columns import multiply_groups
from segcaffe.window import Window


def forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    window: Window,
    group: int = 1,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
    addend: Array | None = None,
) -> None:
    if _is_product(weight, window):
        _multiply(weight, x, out, group)
    elif not _by_cudnn("forward", x, weight, out, out, window):
        masked.convolve(x, None, weight, out, _geometry(x, weight, out, window), group)
    _apply_epilogue(out, scale, bias, negative_slope, addend)


def backward_data(
    grad_out: Array,
    weight: Array,
    grad_x: Array,
    window: Window,
    group: int = 1,
    bias: Array | None = None,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
) -> None:
    if _is_product(weight, window):
        _multiply(weight, grad_out, grad_x, group, transposed=True)
    elif not _by_cudnn("data", grad_x, weight, grad_out, grad_x, window):
        geometry = _geometry(grad_x, weight, grad_out, window)
        masked.convolve_backward(grad_x, None, weight, grad_out, grad_x, None, geometry, group)
    _apply_epilogue(grad_x, scale, bias, negative_slope)


def backward_weight(
    x: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    window: Window,
    group: int = 1,
    beta: float = 1.0,
) -> None:
    if beta == 0:
        grad_weight[...] = 0
    if _is_product(grad_weight, window):
        _add_products(x, grad_out, grad_weight, group)
    elif not _add_by_cudnn(x, grad_out, grad_weight, window):
        geometry = _geometry(x, grad_weight, grad_out, window)
        masked.add_weight_grad(x, None, grad_out, grad_weight, geometry, group)
    if grad_bias is not None:
        backward_bias(grad_out, grad_bias)


def backward_bias(grad_out: Array, grad_bias: Array) -> None:
    masked.add_bias_grad(grad_out, grad_bias)


def _apply_epilogue(
    out: Array, scale: Array | None, bias: Array | None, slope: float | Array, addend: Array | None = None
) -> None:
    """``v = scale * out + bias + addend`` for each channel, then ``slope * v`` where v is not above 0."""
    shape = (-1, *(1,) * (out.ndim - 2))
    if scale is not None:
        out *= scale.reshape(shape)
    if bias is not None:
        out += bias.reshape(shape)
    if addend is not None:
        out += addend
    if isinstance(slope, (int, float)):
        if slope != 1:
            elementwise.relu(out, slope, out)
    else:
        planes = out.reshape(len(out), out.shape[1], math.prod(out.shape[2:]))
        channelwise.prelu(planes, slope, planes)


def _sizes(window: Window) -> cudnn.Triple:
    return window.stride, window.pad, window.dilation


def _geometry(x: Array, weight: Array, out: Array, window: Window) -> Geometry:
    return Geometry.of(x, out.shape[2:], weight.shape[2:], *_sizes(window))


def _is_product(weight: Array, window: Window) -> bool:
    return math.prod(weight.shape[2:]) == 1 and set(window.stride) <= {1} and not any(map(any, window.paddings))


def _multiply(weight: Array, source: Array, out: Array, group: int, transposed: bool = False) -> None:
    """``out[n] = weight @ source[n]`` over each group's channels, or with the weight transposed."""
    matrices = weight.reshape(group, len(weight) // group, -1)
    sources, outs = (array.reshape(len(array), group, array.shape[1] // group, -1) for array in (source, out))
    multiply_groups(matrices, sources, outs, transposed)


def _add_products(x: Array, grad_out: Array, grad_weight: Array, group: int) -> None:
    """Add each image's products to the weights' gradient: one image after the other, since all add to the same."""
    matrices = grad_weight.reshape(group, len(grad_weight) // group, -1)
    images, grads = (array.reshape(len(array), group, array.shape[1] // group, -1) for array in (x, grad_out))
    for image, grad in zip(images, grads, strict=True):
        cublas.gemm_batched(grad, image, matrices, trans_b=True, beta=1.0)


def _by_cudnn(kind: cudnn.Kind, x: Array, weight: Array, out: Array, target: Array, window: Window) -> bool:
    """Whether cuDNN has written ``target``; it takes only padding that is the same on both sides."""
    return window.is_even and cudnn.convolve(kind, x, weight, out, target, _sizes(window))


def _add_by_cudnn(x: Array, grad_out: Array, grad_weight: Array, window: Window) -> bool:
    made = cudnn.scratch_like(grad_weight)
    if made is None or not _by_cudnn("weight", x, made, grad_out, made, window):
        return False
    grad_weight += made
    return True
