"""The window of a function: kernel size, stride, padding and dilation, as numbers or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Literal

from segcaffe.functional.arrays import fail
from segcaffe.window import Window

Size = int | Sequence[int]
"""One number of pixels for both axes, or (height, width)."""
Padding = Size | Literal["same", "valid"]


def window(function: str, kernel_size: Size, stride: Size, padding: Padding, dilation: Size) -> Window:
    """Return the window; ``padding`` "same" gives as many positions as there are pixels, at stride 1; "valid" is 0.

    Raises ShapeError for sizes that make no window.
    """
    kernel, far = _pair(function, "kernel_size", kernel_size), _pair(function, "dilation", dilation)
    steps = _pair(function, "stride", stride)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise fail(function, 'padding is a number of pixels, a pair of them, "same" or "valid"', repr(padding))
        if padding == "valid":
            return Window(kernel, steps, (0, 0), far, function)
        if steps != (1, 1) or not all(k % 2 for k in kernel):
            received = f"kernel_size {kernel}, stride {steps}"
            raise fail(function, 'padding "same" needs odd sizes of the kernel, and stride 1', received)
        pad = (far[0] * (kernel[0] - 1) // 2, far[1] * (kernel[1] - 1) // 2)
    else:
        pad = _pair(function, "padding", padding)
    return Window(kernel, steps, pad, far, function)


def _pair(function: str, name: str, value: Size) -> tuple[int, int]:
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    try:
        whole = [index(n) for n in numbers]
    except TypeError:
        whole = []
    if len(whole) != 2 or min(whole) < 0:
        raise fail(function, f"{name} is a whole number, or one for the height and one for the width", repr(value))
    return whole[0], whole[1]
