"""How much working memory a convolution takes on the CPU, by name (see `scratch`), in bytes, all threads together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.kernels.convolution import columns, cpu, spread
from segcaffe.kernels.convolution.plan import Plan, backward_grids, forward_grid, make_plan
from segcaffe.kernels.convolution.winograd.plan import Layout, make_layout
from segcaffe.kernels.convolution.winograd.transforms import SIZE
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.tile import ROWS
from segcaffe.threads import parallel

Sizes = tuple[int, ...]
Window = tuple[Sizes, Sizes, Sizes]
"""Stride, pad, dilation."""
Bytes = dict[str, int]


def largest(*several: Bytes) -> Bytes:
    """What passes take that run one after the other: each name's most."""
    return {name: max(each.get(name, 0) for each in several) for name in {key for each in several for key in each}}


def forward(x: Sizes, weight: Sizes, out: Sizes, window: Window, group: int, dtype: Any) -> Bytes:
    """Working memory of `forward`, from the shapes of its arrays."""
    source, weights, target = (_empty(shape, dtype) for shape in (x, weight, out))
    task, axes = cpu._problem(source, target, weights, window, group, gradient=False)
    grid = forward_grid(task.target, *axes)
    layout = make_layout(task, grid)
    if layout is not None:
        return _tiles(layout)
    few_rows = not columns.suit_data(target, weights, group)
    if few_rows and spread.suits(make_plan(task, grid), source, weights, window):
        return _planes(x, weight, dtype)
    if columns.suit_forward(target, weights, group):
        return _columns(weight, out, window, dtype)
    return _plain(make_plan(task, grid))


def backward_data(grad_out: Sizes, weight: Sizes, grad_x: Sizes, window: Window, group: int, dtype: Any) -> Bytes:
    """Working memory of `backward_data`."""
    source, weights, target = (_empty(shape, dtype) for shape in (grad_out, weight, grad_x))
    task, axes = cpu._problem(source, target, weights, window, group, gradient=False)
    layouts = [(grid, make_layout(task, grid)) for grid in backward_grids(task.target, *axes)]
    by_columns = columns.suit_data(source, weights, group) and not any(layout for _, layout in layouts)
    if by_columns or columns.suit_data_better(source, weights, group):
        return _columns(weight, grad_out, window, dtype)
    found = []
    for grid, layout in layouts:
        found.append(_plain(make_plan(task, grid)) if layout is None else _tiles(layout))
    return largest(*found)


def backward_weight(x: Sizes, grad_out: Sizes, weight: Sizes, window: Window, group: int, dtype: Any) -> Bytes:
    """Working memory of `backward_weight`."""
    source, target, weights = (_empty(shape, dtype) for shape in (x, grad_out, weight))
    task, axes = cpu._problem(source, target, weights, window, group, gradient=True)
    grid = forward_grid(task.target, *axes)
    layout = make_layout(task, grid)
    if layout is None and spread.suits(make_plan(task, grid), source, weights, window):
        return _planes(x, weight, dtype) | {"convolution_gradient": weights.size * weights.itemsize}
    if columns.suit_gradient(target, weights, window, group):
        return _columns(weight, grad_out, window, dtype, product=False)
    if layout is not None:
        size = SIZE * SIZE * weights.itemsize
        steps = {"winograd_inputs": layout.input_step, "winograd_grads": layout.weight_step,
                 "winograd_sums": layout.sum_step}  # fmt: skip
        return {name: size * step for name, step in steps.items()}
    plan = make_plan(task, grid)
    shape = plan.layout
    sums = shape.parts * shape.groups * plan.tiles * shape.chunks * plan.offsets.size * ROWS
    return _blocks(plan) | {"convolution_gradient": sums * weights.itemsize}


def _empty(shape: Sizes, dtype: Any) -> np.ndarray[Any, Any]:
    """An array of that shape that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _planes(x: Sizes, weight: Sizes, dtype: Any) -> Bytes:
    """What `spread` takes: a plane for each tap of each output."""
    planes = weight[0] * math.prod(weight[2:])
    return {"convolution_columns": planes * math.prod(x[2:]) * np.dtype(dtype).itemsize}


def _columns(weight: Sizes, small: Sizes, window: Window, dtype: Any, product: bool = True) -> Bytes:
    """``product`` says that few columns are the right factor of a product, not of a gradient."""
    itemsize, pixels = np.dtype(dtype).itemsize, math.prod(small[2:])
    packed = matmul.working_elements(pixels, dtype) * itemsize
    found = {"matmul": packed * parallel.num_threads()} if product and matmul.few(pixels) else {}
    if columns._is_pixelwise(weight[2:], window):
        return found
    taps = math.prod(weight[2:])
    step = max(1, columns._COLUMNS // max(1, taps * pixels))
    return found | {"convolution_columns": min(step, weight[1]) * taps * pixels * itemsize}


def _plain(plan: Plan) -> Bytes:
    layout = plan.layout
    packed = {"packed": layout.groups * plan.tiles * ROWS * plan.depth * plan.itemsize}
    return packed | _blocks(plan, plan.pixelwise)


def _blocks(plan: Plan, pixelwise: bool = False) -> Bytes:
    lines = ROWS * plan.layout.positions * plan.itemsize
    panels = plan.layout.channels * plan.layout.strip * plan.span if pixelwise else 0
    return {
        "convolution_copy": _of_all(max(plan.buffer, panels) * plan.itemsize, plan.items),
        "convolution_lines": _of_all(lines, plan.items),
    }


def _tiles(layout: Layout) -> Bytes:
    size = SIZE * SIZE * 4
    kernels = size * layout.weight_step
    return {
        **({"winograd_kernels": _of_all(kernels, layout.items)} if layout.fresh else {"packed": kernels}),
        "winograd_inputs": _of_all(size * layout.input_step, 1 if layout.fresh else layout.items),
        "winograd_sums": _of_all(size * layout.sum_step, layout.items),
    }


def _of_all(size: int, items: int) -> int:
    """Bytes that every thread takes for itself."""
    return size * min(parallel.num_threads(), max(1, items))
