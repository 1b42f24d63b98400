"""Im2dist on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.cuda.compile import launch, launch_blocks
from segcaffe.kernels.cuda.strips import blocks_of, run_of
from segcaffe.kernels.im2dist import FAR
from segcaffe.window import Window

_TAPS = _CHANNELS = 8
"""As in the source: taps, or channels, of one thread."""
_STRIP, _GRAD_STRIP, _STRIP_CHANNELS = 8, 4, 6
"""As in the source: pixels, and channels for the gradient, of one thread, where windows go in strips."""


def forward(
    image: Array, dist: Array, window: Window, l1: bool, remove_center: bool = False, remove_bounds: bool = False
) -> None:
    num, taps, rows, cols = dist.shape
    center, far = (FAR if remove else 0.0 for remove in (remove_center, remove_bounds))
    if _keeps_size(image, dist, window):
        run = run_of(window)
        high, wide = window.kernel
        # Of taps before the centre: their opposites are the same distances.
        groups = wide // 2 * -(-high // run) + high // 2 // run + 1
        blocks = blocks_of(image.shape, window, groups, _STRIP)
        arguments = (image, dist, *image.shape, *window.kernel, *window.dilation, l1, center, far)
        launch_blocks("im2dist", f"forward_{run}", blocks, *arguments)
        return
    sizes = (*image.shape, rows, cols, *numbers_of(window))
    launch("im2dist", "forward", num * -(-taps // _TAPS) * rows * cols, image, dist, *sizes, l1, center, far)


def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, l1: bool) -> None:
    num, channels, height, width = image.shape
    if _keeps_size(image, dist_grad, window):
        blocks = blocks_of(image.shape, window, -(-channels // _STRIP_CHANNELS), _GRAD_STRIP)
        arguments = (image, dist_grad, image_grad, *image.shape, *window.kernel, *window.dilation)
        launch_blocks("im2dist", f"backward_{run_of(window)}_{'l1' if l1 else 'l2'}", blocks, *arguments)
        return
    sizes = (*image.shape, *dist_grad.shape[2:], *numbers_of(window))
    threads = num * -(-channels // _CHANNELS) * height * width
    launch("im2dist", "backward", threads, image, dist_grad, image_grad, *sizes, l1)


def numbers_of(window: Window) -> tuple[int, ...]:
    """Kernel, stride, pad and dilation, each (height, width), as CUDA functions take them."""
    return (*window.kernel, *window.stride, *window.pad, *window.dilation)


def _keeps_size(image: Array, dist: Array, window: Window) -> bool:
    """Whether each pixel is the centre of one window: the windows that go in strips."""
    middle = tuple(k // 2 * d for k, d in zip(window.kernel, window.dilation, strict=True))
    return set(window.stride) == {1} and window.pad == middle and dist.shape[2:] == image.shape[2:]
