"""Masked convolution on the CPU: columns of a few positions at a time, made in the cache and multiplied there."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels.convolution import cpu as convolution
from segcaffe.kernels.convolution.loops import pack_weights
from segcaffe.kernels.segaware_conv import chunks, gathering, loops, panels
from segcaffe.kernels.segaware_conv.layout import Division, Layout, Scratch, Tables, make_layout, parts
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]


def forward(
    x: Array,
    mask: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    window: Window,
    group: int = 1,
    negative_slope: float | Array = 1.0,
) -> None:
    """Compute the convolution; see the contract."""
    layout = make_layout(x.shape, out.shape, window, group, x.itemsize)
    division = Division(layout.chunk_channels, layout.chunk_strips(parallel.num_threads()))
    packed = _pack_chunks(layout, weight)
    ending = np.zeros((2, group, layout.tiles * ROWS), x.dtype)
    if bias is not None:
        ending[0, :, : layout.rows] = bias.reshape(group, -1)
    ending[1, :, : layout.rows] = np.broadcast_to(negative_slope, out.shape[1]).reshape(group, -1)
    depth = division.step * layout.taps
    arrays = x.reshape(-1), mask.reshape(-1), packed, ending.reshape(-1), out.reshape(-1)

    def part(start: int, stop: int) -> None:
        memory = _scratch(layout, division.block, depth, division.block * layout.tiles * ROWS, x.dtype)
        chunks.convolve(*arrays, layout, division, memory, start, stop)

    parallel.run_cycles(layout.images * group * parts(layout.strips, division.block), layout.cycles, part)


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
    nothing = np.empty(0, x.dtype)
    given = x.reshape(-1), mask.reshape(-1), grad_out.reshape(-1), nothing if grad_x is None else grad_x.reshape(-1)
    if layout.gathers:
        _gather(layout, weight, given, grad_mask)
    else:
        _scatter(layout, weight, given, grad_mask)


def _gather(layout: Layout, weight: Array, given: tuple[Array, ...], grad_mask: Array | None) -> None:
    """By strips of the image; ``given`` are image, mask, the output's gradient and the image's, which may be empty."""
    x, mask, grad_out, grad_x = given
    division = Division(layout.channels, layout.gather_strips(parallel.num_threads()))
    packed = _pack_taps(layout, weight)
    sums = np.empty(0, x.dtype) if grad_mask is None else _partial_sums(grad_mask, layout.groups)
    sums[...] = 0

    def part(start: int, stop: int) -> None:
        block = division.block
        images, lines = layout.gather_sizes(block)
        memory = Scratch(
            scratch("segaware_columns", images, x.dtype),
            scratch("segaware_lines", lines, x.dtype),
            scratch("segaware_sums", block * layout.taps * layout.strip, x.dtype),
            _tables(layout, block, x.dtype),
        )
        arrays = x, mask, packed, grad_out, grad_x, sums.reshape(-1)
        gathering.gradients(*arrays, layout, division, memory, start, stop)

    items = layout.images * layout.groups * parts(parts(layout.height * layout.width, layout.strip), division.block)
    parallel.run_cycles(items, layout.cycles, part)
    if grad_mask is not None and sums.shape[0] > 1:
        _add_up(sums, grad_mask.reshape(-1))


def _scatter(layout: Layout, weight: Array, given: tuple[Array, ...], grad_mask: Array | None) -> None:
    """By gradients of columns of the output's strips, for windows of any kind; ``given`` as for `_gather`."""
    x, mask, grad_out, grad_x = given
    step, block, group = layout.channel_step, layout.gradient_strips, layout.groups
    channel_parts = parts(layout.channels, step)
    together = max(1, layout.images * group * channel_parts // (2 * parallel.num_threads()))
    items = layout.images * group * parts(channel_parts, together)
    pieces = 1 if grad_x.size else max(1, min(parts(layout.strips, block), 16 // max(1, items)))
    division = Division(step, block, together, pieces)
    packed, offsets = _pack(layout, weight), np.arange(layout.rows) * layout.strip
    sums = np.empty(0, x.dtype) if grad_mask is None else _partial_sums(grad_mask, group * channel_parts)
    depth = -(-min(step, layout.channels) * layout.taps // ROWS) * ROWS

    def part(start: int, stop: int) -> None:
        memory = _scratch(layout, block, depth, block * layout.rows, x.dtype, block * layout.taps)
        arrays = x, mask, packed, grad_out, grad_x, sums.reshape(-1)
        loops.gradients(*arrays, layout, division, memory, offsets, start, stop)

    parallel.run_cycles(items * pieces, layout.cycles, part)
    if grad_mask is not None and sums.shape[0] > 1:
        _add_up(sums, grad_mask.reshape(-1))


def backward_weight(
    x: Array, mask: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, window: Window, group: int = 1
) -> None:
    """Add to ``grad_weight`` and ``grad_bias``; see the contract."""
    layout = make_layout(x.shape, grad_out.shape, window, group, x.itemsize)
    if layout.panels is None:
        _backward_weight_columns(layout, x, mask, grad_out, grad_weight)
    else:
        _backward_weight_panels(layout, layout.panels, x, mask, grad_out, grad_weight)
    if grad_bias is not None:
        convolution.backward_bias(grad_out, grad_bias)


def _backward_weight_panels(
    layout: Layout, division: Division, x: Array, mask: Array, grad_out: Array, grad_weight: Array
) -> None:
    """By panels of columns; see `panels`."""
    step, block, strip = division.step, division.block, layout.strip
    sums = np.zeros(division.parts * layout.panel_sums(division), x.dtype)
    arrays = x.reshape(-1), mask.reshape(-1), grad_out.reshape(-1), sums

    def part(start: int, stop: int) -> None:
        memory = Scratch(
            scratch("segaware_columns", (block * strip + layout.reach) * parts(step, ROWS) * ROWS, x.dtype),
            scratch("segaware_lines", block * strip * layout.tiles * ROWS, x.dtype),
            scratch("segaware_sums", division.together * strip * strip, x.dtype),
            _tables(layout, block, x.dtype),
        )
        panels.weight_gradient(*arrays, layout, division, memory, start, stop)

    parallel.run_cycles(division.parts * layout.groups * parts(layout.channels, step), layout.cycles, part)
    total = np.empty(layout.panel_sums(division), x.dtype)
    _add_up(sums.reshape(division.parts, -1), total)
    panels.add_sums(total, layout, step, grad_weight.reshape(-1), 0, layout.groups * layout.rows)


def _backward_weight_columns(layout: Layout, x: Array, mask: Array, grad_out: Array, grad_weight: Array) -> None:
    """By masked columns, positions in the lanes."""
    step, block, sum_parts = layout.weight_step, layout.weight_strips, layout.weight_parts
    division = Division(step, block, parts=sum_parts)
    depth, pitch = -(-layout.depth // STREAMS) * STREAMS, block * layout.strip
    streams = -(-min(step, layout.channels) * layout.taps // STREAMS) * STREAMS
    sums = np.zeros(sum_parts * layout.groups * layout.tiles * depth * ROWS, x.dtype)
    offsets = np.arange(streams) * pitch
    arrays = x.reshape(-1), mask.reshape(-1), grad_out.reshape(-1), sums

    def part(start: int, stop: int) -> None:
        memory = _scratch(layout, block, streams, ROWS * block, x.dtype)
        loops.weight_gradient(*arrays, layout, division, memory, offsets, start, stop)

    parallel.run_cycles(sum_parts * layout.groups * parts(layout.channels, step), layout.cycles, part)
    _add_weight_sums(layout, sums, depth, sum_parts, grad_weight)


def _scratch(layout: Layout, block: int, depth: int, lines: int, dtype: Any, sums: int = 0) -> Scratch:
    """A thread's memory for a block of strips with ``depth`` columns, and so many lines and sums of a strip."""
    strip = layout.strip
    return Scratch(
        scratch("segaware_columns", block * depth * strip, dtype),
        scratch("segaware_lines", lines * strip, dtype),
        scratch("segaware_sums", sums * strip, dtype),
        _tables(layout, block, dtype),
    )


def _tables(layout: Layout, block: int, dtype: Any) -> Tables:
    """A thread's tables for a block of strips."""
    size = block * layout.taps * layout.strip
    weights, index = scratch("segaware_mask", size, dtype), scratch("segaware_index", size, np.int32)
    return Tables(weights, index, scratch("segaware_places", block * layout.taps, np.int64))


def _pack(layout: Layout, weight: Array) -> Array:
    """The weights, transposed, in tiles of ROWS columns: (groups, tiles, rows, ROWS)."""
    tiles, places = -(-layout.depth // ROWS), np.arange(layout.rows) * layout.depth
    packed = scratch("packed", layout.groups * tiles * ROWS * layout.rows, weight.dtype)
    sizes = layout.depth, 1, layout.rows * layout.depth, tiles, 0

    def part(start: int, stop: int) -> None:
        pack_weights(weight.reshape(-1), packed, places, *sizes, start, stop)

    parallel.run_cycles(layout.groups * tiles, 2.0 * packed.size, part)
    return packed


def _pack_chunks(layout: Layout, weight: Array) -> Array:
    """The weights in tiles of ROWS output channels, one chunk of channels after the other.

    They are (chunks, groups, tiles, columns of a chunk, ROWS), so that they are read in the order in which they lie.
    """
    tiles, step = layout.groups * layout.tiles, layout.chunk_channels * layout.taps
    packed = scratch("packed", tiles * ROWS * layout.depth, weight.dtype)
    sizes = layout.rows, layout.depth, layout.rows * layout.depth, layout.tiles, layout.vector

    def part(start: int, stop: int) -> None:
        for first in range(start * step, min(layout.depth, stop * step), step):
            places = np.arange(min(step, layout.depth - first))
            target = packed[first * tiles * ROWS :]
            pack_weights(weight.reshape(-1)[first:], target, places, *sizes, 0, tiles)

    parallel.run_cycles(parts(layout.depth, step), 2.0 * packed.size, part)
    return packed


def _pack_taps(layout: Layout, weight: Array) -> Array:
    """The weights of each tap, transposed in tiles of ROWS channels: (taps, groups, tiles, rows, ROWS)."""
    tiles = parts(layout.channels, ROWS)
    packed = scratch("packed", layout.taps * layout.groups * tiles * layout.rows * ROWS, weight.dtype)
    places, sizes = np.arange(layout.rows) * layout.depth, (layout.taps, layout.rows * layout.depth, tiles, 0)

    def part(start: int, stop: int) -> None:
        for t in range(start, stop):
            target = packed.reshape(layout.taps, -1)[t]
            pack_weights(weight.reshape(-1)[t:], target, places, layout.channels, *sizes, 0, layout.groups * tiles)

    parallel.run_cycles(layout.taps, 2.0 * packed.size, part)
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

    parallel.run_cycles(layout.groups * layout.tiles, 2.0 * sums.size, part)
