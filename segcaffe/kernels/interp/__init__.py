"""Bilinear resizing whose corner pixels stay the corner pixels."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("top",))
def forward(image: Array, top: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    """Write each output pixel as a mean of the four pixels around its place in the image.

    Parameters
    ----------
    image:
        (N, C, H, W).
    top:
        (N, C, H', W').
    low_y, weight_y:
        For each output row the input row above its place, int32 (H',), never falling, and how far below that row the
        place lies, float32 (H',), 0 to 1.
    low_x, weight_x:
        The same for columns, (W',).
    """


@kernel(writes=("image_grad",))
def backward(top_grad: Array, image_grad: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    """Write the gradient of `forward`: each output pixel's gradient, shared among its four pixels by their weights.

    ``top_grad`` is (N, C, H', W'), ``image_grad`` (N, C, H, W) is written whole.
    """
