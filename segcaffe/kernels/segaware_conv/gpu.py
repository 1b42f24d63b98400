"""Masked convolution on the GPU: by kernels that make their columns in shared memory, or by columns and cuBLAS.

`gpu_choice` chooses by the shape. Convolutions without masks come here too where cuDNN does not do them.
"""

from __future__ import annotations

from types import ModuleType

from segcaffe.device.mode import Array
from segcaffe.kernels.channelwise import gpu as channelwise
from segcaffe.kernels.channelwise.gpu import reduce_channels
from segcaffe.kernels.elementwise import gpu as elementwise
from segcaffe.kernels.im2col.gpu import Geometry
from segcaffe.kernels.segaware_conv import gpu_columns, gpu_fused
from segcaffe.kernels.segaware_conv.gpu_choice import Kind, choose
from segcaffe.window import Window


def forward(
    x: Array,
    mask: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    window: Window,
    group: int = 1,
    negative_slope: float | Array = 1.0,
) -> None:
    geometry = geometry_of(x, out, window)
    convolve(x, mask.reshape(len(mask), -1), weight, out, geometry, group, bias)
    if not isinstance(negative_slope, (int, float)):
        values = out.reshape(*out.shape[:2], -1)
        channelwise.prelu(values, negative_slope, values)
    elif negative_slope != 1:
        elementwise.relu(out, negative_slope, out)


def backward_data(
    x: Array,
    mask: Array,
    weight: Array,
    grad_out: Array,
    grad_x: Array | None,
    grad_mask: Array | None,
    window: Window,
    group: int = 1,
) -> None:
    geometry = geometry_of(x, grad_out, window)
    masks = mask.reshape(len(mask), -1)
    grad_masks = None if grad_mask is None else grad_mask.reshape(len(mask), -1)
    convolve_backward(x, masks, weight, grad_out, grad_x, grad_masks, geometry, group)


def backward_weight(
    x: Array, mask: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, window: Window, group: int = 1
) -> None:
    geometry = geometry_of(x, grad_out, window)
    add_weight_grad(x, mask.reshape(len(mask), -1), grad_out, grad_weight, geometry, group)
    if grad_bias is not None:
        add_bias_grad(grad_out, grad_bias)


def geometry_of(x: Array, out: Array, window: Window) -> Geometry:
    """The window over images like x (N, C, *spatial), at the positions of ``out``."""
    return Geometry.of(x, out.shape[2:], window.kernel, window.stride, window.pad, window.dilation)


def convolve(
    x: Array, masks: Array | None, weight: Array, out: Array, geometry: Geometry, group: int, bias: Array | None = None
) -> None:
    """Write ``out``; ``masks`` (N, taps * positions) or None for a convolution without."""
    _algorithm("forward", x, out, geometry, group).convolve(x, masks, weight, bias, out, geometry, group)


def convolve_backward(
    x: Array,
    masks: Array | None,
    weight: Array,
    grad_out: Array,
    grad_x: Array | None,
    grad_masks: Array | None,
    geometry: Geometry,
    group: int,
) -> None:
    """Write the gradients of x and of the masks, those that are not None. Of x only the shape counts for the first."""
    algorithm = _algorithm("data" if grad_masks is None else "both", x, grad_out, geometry, group)
    algorithm.convolve_backward(x, masks, weight, grad_out, grad_x, grad_masks, geometry, group)


def add_weight_grad(
    x: Array, masks: Array | None, grad_out: Array, grad_weight: Array, geometry: Geometry, group: int
) -> None:
    """Add the gradient of the weights."""
    algorithm = _algorithm("weight", x, grad_out, geometry, group)
    algorithm.add_weight_grad(x, masks, grad_out, grad_weight, geometry, group)


def add_bias_grad(grad_out: Array, grad_bias: Array) -> None:
    """Add the sums over images and positions."""
    reduce_channels(0, grad_out.reshape(*grad_out.shape[:2], -1), None, grad_bias, accumulate=True)


def _algorithm(kind: Kind, x: Array, out: Array, geometry: Geometry, group: int) -> ModuleType:
    fused = x.size > 0 and out.size > 0 and choose(kind, gpu_fused.shape_of(x, out, geometry, group)) == "fused"
    return gpu_fused if fused else gpu_columns
