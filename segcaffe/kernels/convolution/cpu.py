"""Convolution on the CPU: blocks of the image, copied into the cache, times weights packed for the vector registers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.kernels.convolution import columns, loops, spread
from segcaffe.kernels.convolution.end import End
from segcaffe.kernels.convolution.plan import Axes, Grid, Plan, Task, backward_grids, forward_grid, make_plan
from segcaffe.kernels.convolution.winograd import loops as winograd
from segcaffe.kernels.convolution.winograd.plan import Layout, make_layout
from segcaffe.kernels.convolution.winograd.transforms import SIZE
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
Window = tuple[Sizes, Sizes, Sizes]
Problem = tuple[Task, tuple[Axes, Axes, Axes, Axes]]
_GRAIN_CYCLES = 1e5
"""Work below which a second thread costs more than it saves."""


_PIECES = 4
"""Pieces of the weights' gradient for each thread."""


def forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    group: int = 1,
    scale: Array | None = None,
    negative_slope: float = 1.0,
) -> None:
    """Compute the convolution; see the contract."""
    end = End(scale, bias, negative_slope)
    task, window = _problem(x, out, weight, (stride, pad, dilation), group, gradient=False)
    grid, given = forward_grid(task.target, *window), (stride, pad, dilation)
    if make_layout(task, grid) is not None:
        _convolve(task, grid, x, weight, end, out, transposed=False)
    elif columns.suit_data(out, weight, group):
        columns.forward(x, weight, end, out, given)
    elif spread.suits(make_plan(task, grid), x, weight, given):
        spread.forward(x, weight, end, out, given)
    elif columns.suit_forward(out, weight, group):
        columns.forward(x, weight, end, out, given)
    else:
        _convolve(task, grid, x, weight, end, out, transposed=False)


def backward_data(
    grad_out: Array,
    weight: Array,
    grad_x: Array,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    group: int = 1,
    bias: Array | None = None,
    scale: Array | None = None,
    negative_slope: float = 1.0,
) -> None:
    """Overwrite ``grad_x``; see the contract."""
    end = End(scale, bias, negative_slope)
    task, window = _problem(grad_out, grad_x, weight, (stride, pad, dilation), group, gradient=False)
    grids = backward_grids(task.target, *window)
    by_columns = columns.suit_data(grad_out, weight, group) and not any(make_layout(task, grid) for grid in grids)
    if by_columns or columns.suit_data_better(grad_out, weight, group):
        columns.backward_data(grad_out, weight, end, grad_x, (stride, pad, dilation))
        return
    if sum(math.prod(grid.extent) for grid in grids) < math.prod(task.target):
        grad_x[...] = 0 if end.is_identity else end.of_zero(grad_x.shape[1], grad_x.ndim)
    for grid in grids:
        _convolve(task, grid, grad_out, weight, end, grad_x, transposed=True)


def backward_weight(
    x: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    group: int = 1,
    beta: float = 1.0,
) -> None:
    """Add to ``grad_weight`` and ``grad_bias``; see the contract."""
    task, window = _problem(x, grad_out, grad_weight, (stride, pad, dilation), group, gradient=True)
    grid, given = forward_grid(task.target, *window), (stride, pad, dilation)
    by_tiles = make_layout(task, grid)
    by_taps = by_tiles is None and spread.suits(make_plan(task, grid), x, grad_weight, given)
    by_columns = len(x) > 0 and not by_taps and columns.suit_gradient(grad_out, grad_weight, given, group)
    if beta == 0 and not by_columns:
        grad_weight[...] = 0
    if by_taps:
        spread.backward_weight(x, grad_out, grad_weight, given)
    elif by_columns:
        columns.backward_weight(x, grad_out, grad_weight, given, beta)
    elif by_tiles is not None:
        _add_weight_gradient_by_tiles(by_tiles, x, grad_out, grad_weight)
    else:
        _add_weight_gradient(make_plan(task, grid), x, grad_out, grad_weight, grad_bias)
        return
    if grad_bias is not None:
        backward_bias(grad_out, grad_bias)


def backward_bias(grad_out: Array, grad_bias: Array) -> None:
    """Add to ``grad_bias``; see the contract."""
    images, channels = grad_out.shape[:2]
    pixels = math.prod(grad_out.shape[2:])

    def part(start: int, stop: int) -> None:
        loops.channel_sums(grad_out.reshape(-1), grad_bias, images, channels, pixels, start, stop)

    _run(channels, float(grad_out.size), part)


def _convolve(task: Task, grid: Grid, source: Array, weight: Array, end: End, target: Array, transposed: bool) -> None:
    """Run one pass; ``transposed`` says that the weights' first axis belongs to the source."""
    layout = make_layout(task, grid)
    if layout is not None:
        _convolve_by_tiles(layout, grid, source, weight, end, target, transposed)
        return
    plan = make_plan(task, grid)
    packed = _pack(plan, weight, transposed)
    ends, slope = end.table(plan.layout.groups, plan.layout.rows, plan.tiles * ROWS, source.dtype)

    def part(start: int, stop: int) -> None:
        layout = plan.layout
        copy, out, table = _memory(plan, source.dtype)
        arrays = source.reshape(-1), packed, ends, slope, target.reshape(-1)
        if plan.pixelwise:
            sizes = layout.groups, layout.channels, layout.rows, plan.pixels, layout.strip, plan.span
            panels = scratch("convolution_copy", layout.channels * layout.strip * plan.span, source.dtype)
            loops.convolve_pixels(*arrays, sizes, panels, out, start, stop)
        else:
            tables = plan.taps, plan.residues, plan.offsets
            loops.convolve(*arrays, layout, *tables, copy, out, table, start, stop)

    _run(plan.items, plan.cycles, part)


def _convolve_by_tiles(
    layout: Layout, grid: Grid, source: Array, weight: Array, end: End, target: Array, transposed: bool
) -> None:
    """Run one pass by Winograd's method."""
    taps = math.prod(weight.shape[2:])
    row = weight.shape[1] * taps
    strides = (taps, row, layout.channels * row) if transposed else (row, taps, layout.rows * row)
    places = np.array([h * 3 + w for h in grid.places[1] for w in grid.places[2]])
    tiles = layout.groups * layout.row_tiles
    ends, slope = end.table(layout.groups, layout.rows, layout.rows, source.dtype)
    kernels = weight.reshape(-1), places, strides
    flat = source.reshape(-1), kernels, ends, slope, target.reshape(-1)
    cycles = float(layout.tiles) * SIZE * SIZE * layout.channels * tiles * ROWS

    def multiply(packed: Array, inputs: Array, start: int, stop: int) -> None:
        sums = scratch("winograd_sums", SIZE * SIZE * layout.sum_step, source.dtype)
        rows, table = _tile_memory(layout, source.dtype)
        winograd.convolve(*flat, layout, packed, inputs, sums, rows, table, start, stop)

    if layout.fresh:
        _convolve_by_parts(layout, source, multiply, cycles)
        return
    packed = scratch("packed", SIZE * SIZE * layout.weight_step, weight.dtype)

    def pack(start: int, stop: int) -> None:
        winograd.transform_weights(weight.reshape(-1), packed, layout, places, strides, start, stop)

    # Parts of the rows transform their block anew, so they are work for several threads only where blocks are few.
    parts = 1 if layout.items < 2 * parallel.num_threads() * layout.row_parts else layout.row_parts

    def part(start: int, stop: int) -> None:
        inputs = scratch("winograd_inputs", SIZE * SIZE * layout.input_step, source.dtype)
        multiply(packed, inputs, start * parts, stop * parts)

    _run(tiles, 5.0 * packed.size, pack)
    _run(layout.items // parts, cycles, part)


def _convolve_by_parts(
    layout: Layout, source: Array, multiply: Callable[[Array, Array, int, int], None], cycles: float
) -> None:
    """Winograd's method where all tiles make one block: its input is transformed once, by all threads."""
    inputs = scratch("winograd_inputs", SIZE * SIZE * layout.input_step, source.dtype)
    for group in range(layout.groups):

        def transform(start: int, stop: int, group: int = group) -> None:
            rows, table = _tile_memory(layout, source.dtype)
            flat = source.reshape(-1)
            winograd.transform_block(flat, flat, layout, group, 0, inputs, inputs, rows, table, start, stop)

        def part(start: int, stop: int, first: int = group * layout.row_parts) -> None:
            packed = scratch("winograd_kernels", SIZE * SIZE * layout.weight_step, source.dtype)
            multiply(packed, inputs, first + start, first + stop)

        _run(layout.channels, 20.0 * layout.tiles * layout.channels, transform)
        _run(layout.row_parts, cycles / layout.groups, part)


def _add_weight_gradient(plan: Plan, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None) -> None:
    layout = plan.layout
    others = layout.parts * layout.groups * layout.chunks
    # Each part of the rows copies the source anew. How many there are changes no sum.
    wanted = -(-_PIECES * parallel.num_threads() // max(1, others)) if parallel.num_threads() > 1 else 1
    layout = layout._replace(row_parts=min(layout.row_parts, wanted))
    sums = np.zeros(layout.parts * layout.groups * plan.tiles * layout.chunks * plan.offsets.size * ROWS, x.dtype)
    bias_sums = np.zeros(0 if grad_bias is None else layout.parts * layout.groups * layout.rows)

    def part(start: int, stop: int) -> None:
        copy, lines, table = _memory(plan, x.dtype)
        loops.weight_gradient(
            x.reshape(-1),
            grad_out.reshape(-1),
            sums,
            bias_sums,
            layout,
            plan.taps,
            plan.residues,
            plan.offsets,
            copy,
            lines,
            table,
            start,
            stop,
        )

    _run(others * layout.row_parts, plan.cycles, part)
    _add_parts(plan, sums, grad_weight)
    if grad_bias is not None:
        grad_bias += bias_sums.reshape(layout.parts, -1).sum(axis=0)


def _add_weight_gradient_by_tiles(layout: Layout, x: Array, grad_out: Array, grad_weight: Array) -> None:
    """Add the weights' gradient by Winograd's method: block by block, its transforms first, then its products."""
    inputs = scratch("winograd_inputs", SIZE * SIZE * layout.input_step, x.dtype)
    grads = scratch("winograd_grads", SIZE * SIZE * layout.weight_step, x.dtype)
    # The last vector of taps reads beyond the last sums.
    sums = scratch("winograd_sums", SIZE * SIZE * layout.sum_step + layout.vector, x.dtype)
    offsets = np.minimum(np.arange(-(-layout.channels // STREAMS) * STREAMS), layout.channels - 1) * layout.pitch
    blocks = -(-layout.tiles // layout.block)
    cycles = float(layout.block) * layout.channels * layout.rows
    for group in range(layout.groups):
        sums[:] = 0
        for block in range(blocks):

            def transform(start: int, stop: int, group: int = group, block: int = block) -> None:
                rows, table = _tile_memory(layout, x.dtype)
                flat = x.reshape(-1), grad_out.reshape(-1)
                winograd.transform_block(*flat, layout, group, block, inputs, grads, rows, table, start, stop)

            def correlate(start: int, stop: int, block: int = block) -> None:
                winograd.correlate_block(layout, block, offsets, inputs, grads, sums, start, stop)

            channels = layout.channels + layout.rows
            _run(channels, 10.0 * layout.block * channels, transform)
            _run(SIZE * SIZE, cycles, correlate)

        def add(start: int, stop: int, group: int = group) -> None:
            first = group * layout.rows
            winograd.add_gradient(sums, layout, offsets.size, grad_weight.reshape(-1), first, start, stop)

        _run(layout.row_tiles, 2.0 * sums.size, add)


def _pack(plan: Plan, weight: Array, transposed: bool) -> Array:
    places, row_stride, group_stride = _weight_index(plan, weight, transposed)
    tiles = plan.layout.groups * plan.tiles
    together = int(places[-1] - places[0] == places.size - 1) and not transposed
    packed = scratch("packed", tiles * ROWS * places.size, weight.dtype)

    def part(start: int, stop: int) -> None:
        sizes = plan.layout.rows, row_stride, group_stride, plan.tiles, together * plan.layout.vector
        loops.pack_weights(weight.reshape(-1), packed, places, *sizes, start, stop)

    _run(tiles, 2.0 * packed.size, part)
    return packed


def _add_parts(plan: Plan, sums: Array, grad_weight: Array) -> None:
    row, layout = grad_weight[0].size, plan.layout
    sizes = len(plan.taps), plan.offsets.size

    def part(start: int, stop: int) -> None:
        loops.add_parts(sums, layout, *sizes, grad_weight.reshape(-1), row, layout.rows * row, start, stop)

    _run(layout.groups * plan.tiles, 2.0 * sums.size, part)


def _weight_index(plan: Plan, weight: Array, transposed: bool) -> tuple[Array, int, int]:
    """Where the factors of one row lie in the flattened weights, and how far apart rows and groups are."""
    taps = math.prod(weight.shape[2:])
    row = weight.shape[1] * taps
    between_channels, between_rows = (row, taps) if transposed else (taps, row)
    rows_of_group = plan.layout.channels if transposed else plan.layout.rows
    places = (np.arange(plan.layout.channels)[:, None] * between_channels + plan.places).ravel()
    return places, between_rows, rows_of_group * row


def _memory(plan: Plan, dtype: Any) -> tuple[Array, Array, Array]:
    """The calling thread's memory for a block: copy of the source, one tile's lines, and the table of segments."""
    layout = plan.layout
    table = scratch("convolution_table", 2 * layout.segments * loops.FIELDS, np.int64)
    return (
        scratch("convolution_copy", plan.buffer, dtype),
        scratch("convolution_lines", ROWS * layout.positions, dtype),
        table.reshape(2 * layout.segments, loops.FIELDS),
    )


def _tile_memory(layout: Layout, dtype: Any) -> tuple[Array, Array]:
    """The calling thread's memory for rows of pixels, and the table of runs of tiles."""
    table = scratch("winograd_table", layout.block * winograd.FIELDS, np.int64)
    return scratch("winograd_rows", SIZE * layout.row_length, dtype), table.reshape(-1, winograd.FIELDS)


def _run(items: int, cycles: float, part: Callable[[int, int], None]) -> None:
    """Divide the items among threads, finely enough that none waits long for the others."""
    grain = max(1, int(_GRAIN_CYCLES * items / max(cycles, 1.0)))
    pieces = min(items // grain, 12 * parallel.num_threads()) if parallel.parts(items, grain) > 1 else 1
    if items > 0:
        parallel.run(items, part, grain=grain, blocks=max(1, pieces))


def _problem(source: Array, target: Array, weight: Array, window: Window, group: int, gradient: bool) -> Problem:
    """Sizes over three axes; a convolution of single pixels sees the image as one row."""
    return _problem_of(source.shape, target.shape, weight.shape[2:], window, group, source.itemsize, gradient)


@functools.lru_cache(maxsize=1024)
def _problem_of(
    source: Sizes, target: Sizes, taps: Sizes, window: Window, group: int, itemsize: int, gradient: bool
) -> Problem:
    spatial, output = _axes(source[2:], 1), _axes(target[2:], 1)
    kernel, stride, pad, dilation = (
        _axes(sizes, missing) for sizes, missing in zip((taps, *window), (1, 1, 0, 1), strict=True)
    )
    if kernel == stride == (1, 1, 1) and pad == (0, 0, 0):
        spatial = output = (1, 1, math.prod(spatial))
    task = Task(
        images=source[0],
        groups=group,
        channels=source[1] // group,
        rows=target[1] // group,
        source=spatial,
        target=output,
        itemsize=itemsize,
        gradient=gradient,
    )
    return task, (kernel, stride, pad, dilation)


def _axes(sizes: Sizes, missing: int) -> Axes:
    """The sizes of one to three axes as three, with leading axes of size ``missing``."""
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"A convolution has 1 to 3 spatial axes. Received: {len(sizes)}.")
    d, h, w = (missing,) * (3 - len(sizes)) + tuple(sizes)
    return d, h, w
