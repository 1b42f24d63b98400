"""Filtering each class of a mean-field iteration alike, with weights that differ from pixel to pixel.

Axis names as in ``norm_conv``: N images, C classes, T taps of a window, H×W pixels. The windows here have stride 1 and
as many positions as there are pixels.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window

Array = Any


@kernel(writes=("out",))
def filter_classes(values: Array, weights: Array, out: Array, window: Window, transposed: bool) -> None:
    """Fill ``out`` (N, C, H, W) with sums over each window of ``values`` (N, C, H, W) times ``weights`` (N, T, H, W).

    A neighbour outside the image is 0. ``transposed`` applies the adjoint of that linear map of ``values``.
    """


@kernel(writes=("weight_grad",))
def add_weight_grad(values: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    """Add to ``weight_grad`` (N, T, H, W) the gradient of `filter_classes` (not transposed) by its weights."""
