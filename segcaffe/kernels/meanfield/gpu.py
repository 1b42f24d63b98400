"""Filtering classes with given weights on the GPU."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from typing import Any

from segcaffe.device.compile import launch
from segcaffe.proto.window import Window

Array = Any
_CLASSES = 8
"""As in the source: classes of one thread."""


def filter_classes(values: Array, weights: Array, out: Array, window: Window, transposed: bool) -> None:
    num, classes, height, width = values.shape
    threads = num * -(-classes // _CLASSES) * height * width
    launch("meanfield", "filter", threads, values, weights, out, *values.shape, *_numbers(window), transposed)


def add_weight_grad(values: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    numbers = (*values.shape, *_numbers(window))
    launch("meanfield", "add_weight_grad", weight_grad.size, values, out_grad, weight_grad, *numbers)


def _numbers(window: Window) -> tuple[int, ...]:
    return (*window.kernel, *window.pad, *window.dilation)
