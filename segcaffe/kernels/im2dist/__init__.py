"""Distances between each pixel and the pixels of a window around it, over all channels."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window

FAR = float(np.finfo(np.float32).max) / 100
"""The distance that stands for "not a neighbour": a hundredth of the largest float32, so that sums stay finite."""


@kernel(writes=("dist",))
def forward(
    image: Array, dist: Array, window: Window, l1: bool, remove_center: bool = False, remove_bounds: bool = False
) -> None:
    """Write each window's distances from its centre.

    Parameters
    ----------
    image:
        (N, E, H, W), embeddings.
    dist:
        (N, kh·kw, H', W'), written whole. The centre of a window is its tap (kh/2, kw/2), rounded down. A tap outside
        the image has distance 0; where the centre is outside (over-padding), all taps have.
    window:
        Kernel, stride, pad and dilation for (height, width); (H', W') is its output size.
    l1:
        Σ|d| over the channels if True, ½Σd² if False, d being centre minus neighbour.
    remove_center:
        Whether the centre's own distance is `FAR` instead of 0.
    remove_bounds:
        Whether taps outside the image are `FAR` away instead of 0.
    """


@kernel(writes=("image_grad",))
def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, l1: bool) -> None:
    """Write the gradient with respect to the image.

    Parameters
    ----------
    image, window, l1:
        As in `forward`.
    dist_grad:
        (N, kh·kw, H', W'), gradient with respect to the distances.
    image_grad:
        (N, E, H, W), written whole. A distance sends ``d`` (L2) or ``sign(d)`` (L1, 0 at 0) times its gradient to the
        centre and the negative to the neighbour; taps and centres outside the image send nothing.
    """
