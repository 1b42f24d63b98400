"""Windows weighted by a softmax of embedding distances, and the convolution of what they let through.

Axis names: N images, E embedding channels, C channels, K outputs, T taps of the window (row by row), H×W pixels,
Y×X window positions. A window's centre is its start plus ``(kernel // 2) * dilation``. Source: Harley et al.,
"Segmentation-Aware Convolutional Networks Using Local Attention Masks", ICCV 2017.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel
from segcaffe.proto.window import Window

Array = Any


@kernel(writes=("weights",))
def window_weights(
    guide: Array,
    weights: Array,
    window: Window,
    scale: float,
    l1: bool,
    remove_center: bool,
    remove_bounds: bool,
) -> None:
    """Fill ``weights`` (N, T, Y, X) with softmax over T of ``-scale * distance`` in ``guide`` (N, E, H, W).

    The distance from the centre to a neighbour is half the squared L2 norm of their difference, or the L1 norm with
    ``l1``. It is 0 for a neighbour outside the image and for a centre outside it, and FLT_MAX / 100 for the centre
    itself with ``remove_center`` and for outside neighbours with ``remove_bounds``.
    """


@kernel(writes=("weight_grad",))
def softmax_backward(weights: Array, weight_grad: Array) -> None:
    """Turn the gradient of ``weights`` (N, T, Y, X) into that of the softmax's argument, in place."""


@kernel(writes=("guide_grad",))
def distances_backward(
    guide: Array, distance_grad: Array, guide_grad: Array, window: Window, l1: bool, factor: float
) -> None:
    """Fill ``guide_grad`` (N, E, H, W) with the gradient of the distances, whose own is factor * distance_grad.

    ``distance_grad`` has shape (N, T, Y, X). Nothing flows through pairs that are not both inside the image, nor
    through the centre's distance to itself, which is constant.
    """


@kernel(writes=("total",))
def distances_dot(guide: Array, distance_grad: Array, total: Array, window: Window, l1: bool) -> None:
    """Set ``total`` (one element) to the sum of distance times ``distance_grad`` (N, T, Y, X).

    Pairs that are not both inside the image count 0, whatever distance they were given.
    """


@kernel(writes=("out",))
def convolve(x: Array, weights: Array, filters: Array, out: Array, window: Window) -> None:
    """Fill ``out`` (N, K, Y, X) with the convolution of ``x`` (N, C, H, W), each tap times its weight (N, T, Y, X).

    ``filters`` has shape (K, C / groups, kernel height, kernel width); the number of groups follows from it. Pixels
    outside the image are 0. No more than a cache-sized block of columns exists at a time.
    """


@kernel(writes=("x_grad", "filters_grad"))
def convolve_backward(
    x: Array,
    weights: Array,
    filters: Array,
    out_grad: Array,
    x_grad: Array | None,
    filters_grad: Array | None,
    window: Window,
) -> None:
    """Overwrite ``x_grad`` and add to ``filters_grad``, each unless None: gradients of `convolve`."""


@kernel(writes=("weight_grad",))
def convolve_backward_weights(x: Array, filters: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    """Fill ``weight_grad`` (N, T, Y, X) with the gradient of `convolve` with respect to the taps' weights."""
