"""Im2dist on the GPU."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from segcaffe.device.compile import launch
from segcaffe.device.mode import Array
from segcaffe.kernels.im2dist import FAR
from segcaffe.proto.window import Window

_TAPS = _CHANNELS = 8
"""As in the source: taps, or channels, of one thread."""


def forward(
    image: Array, dist: Array, window: Window, l1: bool, remove_center: bool = False, remove_bounds: bool = False
) -> None:
    num, taps, rows, cols = dist.shape
    center, far = (FAR if remove else 0.0 for remove in (remove_center, remove_bounds))
    sizes = (*image.shape, rows, cols, *numbers_of(window))
    launch("im2dist", "forward", num * -(-taps // _TAPS) * rows * cols, image, dist, *sizes, l1, center, far)


def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, l1: bool) -> None:
    num, channels, height, width = image.shape
    sizes = (*image.shape, *dist_grad.shape[2:], *numbers_of(window))
    threads = num * -(-channels // _CHANNELS) * height * width
    launch("im2dist", "backward", threads, image, dist_grad, image_grad, *sizes, l1)


def numbers_of(window: Window) -> tuple[int, ...]:
    """Kernel, stride, pad and dilation, each (height, width), as CUDA functions take them."""
    return (*window.kernel, *window.stride, *window.pad, *window.dilation)
