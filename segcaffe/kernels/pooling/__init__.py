"""Maximum, average and stochastic pooling over sliding windows of each channel."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel
from segcaffe.window import Window

EMPTY = -3.4028234663852886e38
"""The maximum of a window that lies wholly outside the image: the lowest float32."""


@kernel(writes=("top", "mask"))
def max_forward(image: Array, top: Array, mask: Array, window: Window) -> None:
    """Write each window's maximum and where it was found.

    Parameters
    ----------
    image:
        (N, C, H, W).
    top:
        (N, C, H', W'). The image may end before the last windows do; a window without a pixel gives `EMPTY`. NaN loses
        against any number; only a window of nothing but NaN gives NaN.
    mask:
        (N, C, H', W'), int32: the maximum's place y·W + x in its channel, the first among equals in reading order; -1
        for a window without a pixel.
    window:
        Kernel, stride, pad and dilation for (height, width).
    """


@kernel(writes=("top",))
def max_values(image: Array, top: Array, window: Window) -> None:
    """Write each window's maximum alone; see `max_forward`."""


@kernel(writes=("image_grad",))
def scatter(top_grad: Array, mask: Array, image_grad: Array, window: Window) -> None:
    """Write the gradient of the picked pixels: each window's gradient added at its place in ``mask``, elsewhere 0.

    ``top_grad`` and ``mask`` (int32, -1 for none) are (N, C, H', W'), ``image_grad`` (N, C, H, W) is written whole.
    ``window`` is that of the forward pass, whose windows hold the places in their mask.
    """


@kernel(writes=("top",))
def average_forward(image: Array, top: Array, window: Window, pixels_only: bool = False) -> None:
    """Write each window's sum over its size; 0 for a window without a pixel.

    The size counts padding, but not what hangs over beyond it; with ``pixels_only`` it counts what lies in the image.
    Shapes as in `max_forward`.
    """


@kernel(writes=("image_grad",))
def average_backward(top_grad: Array, image_grad: Array, window: Window, pixels_only: bool = False) -> None:
    """Write the gradient of `average_forward`: each window's gradient over its size, added to its pixels."""


@kernel(writes=("top", "mask"))
def stochastic_forward(image: Array, chance: Array, top: Array, mask: Array, window: Window) -> None:
    """Pick one pixel of each window, with probability in proportion to its value.

    The pick is the first at which the running sum of the window's values reaches ``chance`` (N, C, H', W'; 0 to 1)
    times their sum, the window's last pixel if none does. Otherwise as `max_forward`; there is no padding and no
    dilation.
    """


@kernel(writes=("top",))
def weighted_forward(image: Array, top: Array, window: Window) -> None:
    """Write what stochastic pooling expects: Σv² / (Σv + the smallest normal float32) over each window."""


@kernel(writes=("image_grad",))
def weighted_backward(image: Array, top: Array, top_grad: Array, image_grad: Array, window: Window) -> None:
    """Write the gradient of `weighted_forward`, of whose output ``top`` is."""
