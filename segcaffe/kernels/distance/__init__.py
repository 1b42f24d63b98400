"""Distances that users register, between each pixel and the pixels of a window around it.

Layers and functions call `compare` and `compare_backward` in `choice`, which know when `im2dist` has faster code.
"""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.kernels.distance.registry import Distance
from segcaffe.window import Window


@kernel(writes=("dist",))
def forward(
    image: Array,
    dist: Array,
    window: Window,
    distance: Distance,
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> None:
    """Write each window's distances from its centre.

    Parameters
    ----------
    distance:
        What a difference, centre minus neighbour, counts; summed over the channels.

    Others as of `segcaffe.kernels.im2dist.forward`, with whose results those of L1 and L2 agree.
    """


@kernel(writes=("image_grad",))
def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, distance: Distance) -> None:
    """Write the gradient with respect to the image.

    A distance sends the slope of each channel's difference, times its gradient, to the centre and the negative to the
    neighbour. Parameters as of `segcaffe.kernels.im2dist.backward`.
    """
