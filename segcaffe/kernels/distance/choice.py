"""Distances of any name: those of the paper have code of their own, in vector instructions and for GPUs."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels import distance as registered
from segcaffe.kernels import im2dist
from segcaffe.kernels.distance.registry import L1, L2, Distance
from segcaffe.window import Window


def compare(
    image: Array,
    dist: Array,
    window: Window,
    distance: Distance,
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> None:
    """Write each window's distances from its centre; see `segcaffe.kernels.im2dist.forward`."""
    if distance in (L1, L2):
        im2dist.forward(image, dist, window, distance is L1, remove_center, remove_bounds)
    else:
        registered.forward(image, dist, window, distance, remove_center, remove_bounds)


def compare_backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, distance: Distance) -> None:
    """Write the gradient with respect to the image; see `segcaffe.kernels.im2dist.backward`."""
    if distance in (L1, L2):
        im2dist.backward(image, dist_grad, image_grad, window, distance is L1)
    else:
        registered.backward(image, dist_grad, image_grad, window, distance)
