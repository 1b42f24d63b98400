"""Masked convolution on the CPU: columns of a few positions at a time, made in the cache and multiplied there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.kernels.convolution import cpu as convolution
from segcaffe.kernels.segaware_conv import loops
from segcaffe.kernels.segaware_conv.layout import Layout, make_layout, parts
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]
_GRAIN_CYCLES = 1e5
"""Work below which a second thread costs more than it saves."""


def forward(
    x: Array, mask: Array, weight: Array, bias: Array | None, out: Array, window: Window, group: int = 1
) -> None:
    """Compute the convolution; see the contract."""
    layout = make_layout(x.shape, out.shape, window, group, x.itemsize)
    step, block = layout.weight_step, layout.block_strips(parallel.num_threads())
    packed = _pack(layout, weight, transposed=False)
    biases = np.zeros(group * layout.tiles * ROWS + ROWS, x.dtype)
    if bias is not None:
        biases[:-ROWS].reshape(group, -1)[:, : layout.rows] = bias.reshape(group, -1)
    depth = min(step, layout.channels) * layout.taps
    offsets, ones = np.arange(depth) * layout.strip, np.ones(layout.strip, x.dtype)

    def part(start: int, stop: int) -> None:
        columns = scratch("segaware_columns", block * depth * layout.strip, x.dtype)
        spare = scratch("segaware_lines", ROWS * layout.strip, x.dtype)
        loops.convolve(
            x.reshape(-1), mask.reshape(-1), packed, biases, out.reshape(-1), layout, step, block, columns, spare, ones,
            *_tables(layout, block, x.dtype), offsets, start, stop,
        )  # fmt: skip

    _run(layout.images * group * parts(layout.strips, block), layout.cycles, part)


def backward_data(
    x: Array,
    mask: Array,
    weight: Array,
    grad_out: Array,
    grad_x: Array | None,
    grad_mask: Array | None,
    window: Window,
    group: int = 1,
) -> None:
    """Write the gradients of image and mask; see the contract."""
    layout = make_layout(x.shape, grad_out.shape, window, group, x.itemsize)
    step, block = layout.channel_step, layout.gradient_strips
    channel_parts = parts(layout.channels, step)
    together = max(1, layout.images * group * channel_parts // (2 * parallel.num_threads()))
    items = layout.images * group * parts(channel_parts, together)
    pieces = 1 if grad_x is not None else max(1, min(parts(layout.strips, block), 16 // items))
    packed = _pack(layout, weight, transposed=True)
    nothing = np.empty(0, x.dtype)
    flat_x = nothing if grad_x is None else grad_x.reshape(-1)
    sums = nothing if grad_mask is None else _partial_sums(grad_mask, group * channel_parts)
    offsets, zeros = np.arange(layout.rows) * layout.strip, np.zeros(ROWS, x.dtype)
    depth = -(-min(step, layout.channels) * layout.taps // ROWS) * ROWS

    def part(start: int, stop: int) -> None:
        lines = scratch("segaware_lines", block * layout.rows * layout.strip, x.dtype)
        columns = scratch("segaware_columns", block * depth * layout.strip, x.dtype)
        tap_sums = scratch("segaware_sums", block * layout.taps * layout.strip, x.dtype)
        loops.gradients(
            x.reshape(-1), mask.reshape(-1), packed, grad_out.reshape(-1), flat_x, sums.reshape(-1), layout, step,
            together, block, pieces, lines, columns, zeros, tap_sums, *_tables(layout, block, x.dtype), offsets, start,
            stop,
        )  # fmt: skip

    _run(items * pieces, layout.cycles, part)
    if grad_mask is not None and sums.shape[0] > 1:
        _add_up(sums, grad_mask.reshape(-1))


def backward_weight(
    x: Array,
    mask: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    window: Window,
    group: int = 1,
) -> None:
    """Add to ``grad_weight`` and ``grad_bias``; see the contract."""
    layout = make_layout(x.shape, grad_out.shape, window, group, x.itemsize)
    step, block, sum_parts = layout.weight_step, layout.weight_strips, layout.weight_parts
    depth, pitch = -(-layout.depth // STREAMS) * STREAMS, block * layout.strip
    streams = -(-min(step, layout.channels) * layout.taps // STREAMS) * STREAMS
    sums = np.zeros(sum_parts * group * layout.tiles * depth * ROWS, x.dtype)
    offsets = np.arange(streams) * pitch

    def part(start: int, stop: int) -> None:
        lines = scratch("segaware_lines", ROWS * pitch, x.dtype)
        columns = scratch("segaware_columns", streams * pitch, x.dtype)
        loops.weight_gradient(
            x.reshape(-1), mask.reshape(-1), grad_out.reshape(-1), sums, layout, step, block, sum_parts, lines,
            columns, *_tables(layout, block, x.dtype), offsets, start, stop,
        )  # fmt: skip

    _run(sum_parts * group * parts(layout.channels, step), layout.cycles, part)
    _add_weight_sums(layout, sums, depth, sum_parts, grad_weight)
    if grad_bias is not None:
        convolution.backward_bias(grad_out, grad_bias)


def _tables(layout: Layout, block: int, dtype: Any) -> tuple[Array, Array, Array]:
    """The calling thread's tables of a block of strips: mask values, places, and where each strip begins."""
    size = block * layout.taps * layout.strip
    weights, index = scratch("segaware_mask", size, dtype), scratch("segaware_index", size, np.int32)
    return weights, index, scratch("segaware_places", block * layout.taps, np.int64)


def _pack(layout: Layout, weight: Array, transposed: bool) -> Array:
    """The weights in tiles of ROWS output channels, or transposed in tiles of ROWS columns."""
    depth, rows = (layout.rows, layout.depth) if transposed else (layout.depth, layout.rows)
    row_stride, between = (1, rows) if transposed else (depth, 1)
    tiles = -(-rows // ROWS)
    packed = scratch("packed", layout.groups * tiles * ROWS * depth, weight.dtype)

    def part(start: int, stop: int) -> None:
        loops.pack(weight.reshape(-1), packed, rows, depth, row_stride, between, tiles, start, stop)

    _run(layout.groups * tiles, 2.0 * packed.size, part)
    return packed


def _partial_sums(grad_mask: Array, count: int) -> Array:
    if count == 1:
        return grad_mask.reshape(1, -1)
    return scratch("segaware_partial", count * grad_mask.size, grad_mask.dtype).reshape(count, -1)


def _add_up(sums: Array, out: Array) -> None:
    def part(start: int, stop: int) -> None:
        np.add.reduce(sums[:, start:stop], 0, out=out[start:stop])

    parallel.run(out.size, part, 100_000)


def _add_weight_sums(layout: Layout, sums: Array, width: int, sum_parts: int, grad_weight: Array) -> None:
    flat = grad_weight.reshape(-1)

    def part(start: int, stop: int) -> None:
        loops.add_parts(sums, sum_parts, layout.depth, width, flat, layout.rows, layout.tiles, start, stop)

    _run(layout.groups * layout.tiles, 2.0 * sums.size, part)


def _run(items: int, cycles: float, part: Callable[[int, int], None]) -> None:
    """Divide the items among threads, finely enough that none waits long for the others."""
    grain = max(1, int(_GRAIN_CYCLES * items / max(cycles, 1.0)))
    pieces = min(items // grain, 12 * parallel.num_threads()) if parallel.parts(items, grain) > 1 else 1
    if items > 0:
        parallel.run(items, part, grain=grain, blocks=max(1, pieces))
