"""Convolution over masked windows: each tap of each window is weighted by a mask that all channels share.

This is Im2col, times a tiled mask, times weights, without the columns: those of a few pixels at a time are made in the
cache and multiplied at once. Arrays are C-contiguous and of one dtype, float32 or float64. Image and mask must be
finite: taps outside the image are dropped by a factor 0.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window


@kernel(writes=("out",))
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
    """``out[n, m, q] = bias[m] + sum of weight[m, c, t] * mask[n, t, q] * x[n, c, q * stride + t * dilation - pad]``.

    The sum is over the channels c of the group and the taps t. Results that are not above 0 are then multiplied by
    ``negative_slope``.

    Parameters
    ----------
    x:
        (N, C, H, W); 0 outside.
    mask:
        (N, T, H', W'), T = kh·kw taps.
    weight:
        (M, C / group, T), or any array of that many elements in that order.
    bias:
        (M,) or None.
    out:
        (N, M, H', W'), written whole.
    window:
        Kernel, stride, pad and dilation for (height, width); (H', W') is its output size.
    negative_slope:
        A number, or (M,); 0 makes also minus infinity 0.
    """


@kernel(writes=("grad_x", "grad_mask"))
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
    """Write the gradients with respect to ``x`` and ``mask``, those that are not None, from ``grad_out`` of ``out``.

    Arrays as in `forward`; the gradients are written whole. The order of the sums does not depend on the threads.
    """


@kernel(writes=("grad_weight", "grad_bias"))
def backward_weight(
    x: Array, mask: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, window: Window, group: int = 1
) -> None:
    """Add the gradients with respect to weight and bias to ``grad_weight`` and ``grad_bias`` (unless that is None).

    Arrays as in `forward`. The order of the sums does not depend on the number of threads.
    """
