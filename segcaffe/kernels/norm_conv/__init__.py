"""Windows weighted by a softmax of embedding distances, and the convolution of what they let through.

Axis names: N images, C channels, K outputs, T taps of the window (row by row), H×W pixels, Y×X window positions.
Source: Harley et al., "Segmentation-Aware Convolutional Networks Using Local Attention Masks", ICCV 2017.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window

Array = Any


@kernel(writes=("distances",))
def softmax(distances: Array, scale: float) -> None:
    """Turn ``distances`` (N, T, Y, X), as of the kernel ``im2dist``, into softmax over T of ``-scale * distance``.

    Where all of a window's neighbours are removed, by a distance too large to count, they weigh alike.
    """


@kernel(writes=("weight_grad",))
def softmax_backward(weights: Array, weight_grad: Array, factor: float) -> None:
    """Turn the gradient of ``weights`` (N, T, Y, X) into that of the softmax's argument times ``factor``, in place."""


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
