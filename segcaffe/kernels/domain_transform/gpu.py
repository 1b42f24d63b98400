"""The domain transform on the GPU: four passes an iteration, in which a thread steps along a row or column."""

from __future__ import annotations

from typing import Any

from segcaffe.device.mode import xp
from segcaffe.kernels.cuda.compile import launch, launch_blocks

Array = Any
_PASSES = ((False, False), (False, True), (True, False), (True, True))
"""Down the columns or along the rows; back or forth."""
_LINES = 32
"""As in the source: rows of a block."""


def forward(image: Array, weights: Array, sizes: Array) -> None:
    for weight in weights:
        for direction in _PASSES:
            _pass("", image, weight, sizes, None, direction)


def backward(image: Array, weights: Array, sizes: Array, grad: Array, weight_grad: Array) -> None:
    # Zero, so that what lies outside an image's own size adds nothing.
    deltas = xp().zeros((len(weights), len(_PASSES), *image.shape), image.dtype)
    filtered = image.copy()
    for kept, weight in zip(deltas, weights, strict=True):
        for delta, direction in zip(kept, _PASSES, strict=True):
            _pass("", filtered, weight, sizes, delta, direction)
    weight_grad.fill(0)
    for i in range(len(weights) - 1, -1, -1):
        for k in range(len(_PASSES) - 1, -1, -1):
            _pass("_backward", grad, weights[i], sizes, deltas[i, k], _PASSES[k])
            _add_channels(deltas[i, k], weight_grad[i])


def _pass(
    suffix: str, array: Array, weight: Array, sizes: Array, deltas: Array | None, direction: tuple[bool, bool]
) -> None:
    num, channels, height, width = array.shape
    down, back = direction
    lines = num * channels * (width if down else height)
    arguments = (array, weight, sizes.astype("int64"), deltas, back, channels, height, width, lines)
    if down:
        launch("domain_transform", f"columns{suffix}", lines, *arguments)
    else:
        launch_blocks("domain_transform", f"rows{suffix}", -(-lines // _LINES), *arguments)


def _add_channels(grads: Array, weight_grad: Array) -> None:
    _, channels, height, width = grads.shape
    count = weight_grad.size
    launch("domain_transform", "add_channels", count, grads, weight_grad, channels, height * width, count)
