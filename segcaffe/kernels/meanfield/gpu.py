"""Filtering classes with given weights on the GPU."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.cuda.compile import launch_blocks
from segcaffe.kernels.cuda.strips import blocks_of, run_of
from segcaffe.window import Window

Array = Any
_CLASSES = 7
"""As in the source: classes of one thread, at most."""
_FILTER_PIXELS, _GRAD_PIXELS = 4, 5
"""As in the source: pixels of one thread."""


def filter_classes(values: Array, weights: Array, out: Array, window: Window, transposed: bool) -> None:
    groups = -(-values.shape[1] // _CLASSES)
    blocks = blocks_of(values.shape, window, groups, _FILTER_PIXELS)
    arguments = (values, weights, out, *values.shape, *_numbers(window), transposed)
    launch_blocks("meanfield", f"filter_{run_of(window)}", blocks, *arguments)


def add_weight_grad(values: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    run = run_of(window)
    groups = window.kernel[1] * -(-window.kernel[0] // run)
    blocks = blocks_of(values.shape, window, groups, _GRAD_PIXELS)
    arguments = (values, out_grad, weight_grad, *values.shape, *_numbers(window))
    launch_blocks("meanfield", f"add_weight_grad_{run}", blocks, *arguments)


def _numbers(window: Window) -> tuple[int, ...]:
    return (*window.kernel, *window.pad, *window.dilation)
