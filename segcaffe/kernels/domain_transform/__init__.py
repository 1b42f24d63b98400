"""The recursive edge-aware filter of the domain transform, with weights that are given.

Axis names: N images, C channels, H×W pixels, I iterations. One iteration goes over an image from left to right, from
right to left, from top to bottom and from bottom to top; each step replaces a pixel x by x + w (previous - x). The
weight w between two neighbours is stored at the right or lower one of them. Source: Gastal, Oliveira, "Domain Transform
for Edge-Aware Image and Video Processing", SIGGRAPH 2011.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("image",))
def forward(image: Array, weights: Array, sizes: Array) -> None:
    """Filter ``image`` (N, C, H, W) in place, with ``weights`` (I, N, H, W).

    ``sizes`` (N, 2), integers, holds the height and width of each image's part that is filtered, at the top left; what
    lies outside it stays.
    """


@kernel(writes=("grad", "weight_grad"))
def backward(image: Array, weights: Array, sizes: Array, grad: Array, weight_grad: Array) -> None:
    """Turn the gradient of the filtered image into that of ``image``, in place; fill ``weight_grad`` (I, N, H, W).

    ``image`` is what went into `forward`, before it was filtered; the passes are computed again.
    """
