"""Pooling on the GPU."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.pooling import EMPTY
from segcaffe.window import Window


def max_forward(image: Array, top: Array, mask: Array, window: Window) -> None:
    _over_windows("max_forward", window, image, top, image, top, mask, EMPTY)


def max_values(image: Array, top: Array, window: Window) -> None:
    max_forward(image, top, xp().empty(top.shape, "int32"), window)


def scatter(top_grad: Array, mask: Array, image_grad: Array, window: Window) -> None:
    _over_pixels("scatter", window, image_grad, top_grad, top_grad, mask, image_grad)


def average_forward(image: Array, top: Array, window: Window, pixels_only: bool = False) -> None:
    _over_windows("average_forward", window, image, top, image, top, int(pixels_only))


def average_backward(top_grad: Array, image_grad: Array, window: Window, pixels_only: bool = False) -> None:
    _over_pixels("average_backward", window, image_grad, top_grad, top_grad, image_grad, int(pixels_only))


def stochastic_forward(image: Array, chance: Array, top: Array, mask: Array, window: Window) -> None:
    _over_windows("stochastic_forward", window, image, top, image, chance, top, mask)


def weighted_forward(image: Array, top: Array, window: Window) -> None:
    _over_windows("weighted_forward", window, image, top, image, top)


def weighted_backward(image: Array, top: Array, top_grad: Array, image_grad: Array, window: Window) -> None:
    shares = xp().empty_like(top)
    _over_windows("weighted_shares", window, image, top, image, top_grad, shares)
    _over_pixels("weighted_backward", window, image, top, image, top, shares, image_grad)


def _over_windows(function: str, window: Window, image: Array, top: Array, *arguments: object) -> None:
    _launch(function, window, image, top, top.size, *arguments)


def _over_pixels(function: str, window: Window, image: Array, top: Array, *arguments: object) -> None:
    _launch(function, window, image, top, image.size, *arguments)


def _launch(function: str, window: Window, image: Array, top: Array, threads: int, *arguments: object) -> None:
    behind = window.behind or window.pad
    sizes = (*window.kernel, *window.stride, *window.pad, *behind, *window.dilation)
    numbers = (*image.shape[2:], *top.shape[2:], *sizes)
    launch("pooling", function, threads, *arguments, *numbers, threads)
