"""The compiled loops of the Winograd convolution; arrays are flat, sizes come in a `plan.Layout`.

Tiles are counted over images, the phases of a dilated kernel (which sees each phase of the image by itself), and the
tiles of a phase.
"""

from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.ending import end_rows, kind_of
from segcaffe.kernels.convolution.winograd.transforms import (
    SIZE,
    STEP,
    gradient_tiles,
    input_tiles,
    kernel_tiles,
    output_tiles,
    tap_tiles,
)
from segcaffe.kernels.vector import rows as live_rows
from segcaffe.kernels.vector.tile import (
    ROWS,
    STREAMS,
    add_block,
    clear_run,
    copy_run,
    pick_run,
    spread_run,
)

FIELDS = 5
"""Of a run of tiles in one row: image, first row and column of the output, tiles, position in the block."""

# Functions that only others here call compile faster without the code that takes arguments from Python.
_helper = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
_KERNELS = 16 * ROWS
"""Kernels that are transformed at a time."""


@njit(nogil=True, cache=True)
def transform_weights(weight, packed, layout, places, strides, start, stop):
    """Write G g G^T, 36 matrices (groups * tiles, channels, ROWS), for tiles [start, stop); 0 where there is no row.

    ``strides`` are those between rows, channels and groups.
    """
    for tile in range(start, stop):
        _transform_kernels(weight, packed, layout, places, strides, tile, tile)


@_helper
def _transform_kernels(weight, packed, layout, places, strides, tile, place):
    """Transform the weights of a tile, counted over groups, into ``packed`` as number ``place``."""
    row_stride, channel_stride, group_stride = strides
    tiles = (layout.rows + ROWS - 1) // ROWS
    taps = np.zeros(9 * _KERNELS, weight.dtype)
    last = np.empty(SIZE * SIZE * layout.vector, weight.dtype)
    live = min(ROWS, layout.rows - tile % tiles * ROWS)
    source = tile // tiles * group_stride + tile % tiles * ROWS * row_stride
    for first in range(0, layout.channels, _KERNELS // ROWS):
        channels = min(_KERNELS // ROWS, layout.channels - first)
        for c in range(channels):
            for t in range(9):
                where = source + (first + c) * channel_stride + places[t]
                if live == ROWS:
                    pick_run(taps, t * _KERNELS + c * ROWS, weight, where, row_stride, ROWS)
                else:
                    pick_run(taps, t * _KERNELS + c * ROWS, weight, where, row_stride, live)
        target = (place * layout.channels + first) * ROWS
        for k in range(0, channels * ROWS, layout.vector):
            if k + layout.vector <= channels * ROWS:
                kernel_tiles(taps, k, _KERNELS, packed, target + k, layout.weight_step)
                continue
            kernel_tiles(taps, k, _KERNELS, last, 0, layout.vector)
            for m in range(SIZE * SIZE):
                copy_run(packed, m * layout.weight_step + target + k, last, m * layout.vector, channels * ROWS - k)


@njit(nogil=True, cache=True)
def convolve(source, kernels, epilogue, target, layout, packed, inputs, sums, rows, table, start, stop):
    """Compute items [start, stop), each a block of tiles, a group, and a part of the group's output channels.

    ``kernels`` are the weights, where their taps stand, and their strides between rows, channels and groups;
    ``epilogue`` scales and biases, (groups * rows, 2), with the slope, and the ending. ``packed`` holds the transformed
    weights, or is memory for those of a part where the layout says that these are ``fresh``; ``inputs`` is memory for
    36 matrices (channels, pitch), there already in that case, ``sums`` for 36 (tiles of a part * ROWS, pitch).
    """
    # Vectors read beyond the ends of rows, and should find numbers that are quick to compute with.
    clear_run(rows, 0, rows.size)
    blocks = (layout.tiles + layout.block - 1) // layout.block
    tiles = (layout.rows + ROWS - 1) // ROWS
    weight, places, strides = kernels
    held = -1
    count, used = 0, 0
    for item in range(start, stop):
        part, place = item % layout.row_parts, item // layout.row_parts
        group = place // blocks
        if place != held:
            count, used = _find_runs(layout, place % blocks, table)
            for c in range(0 if layout.fresh else layout.channels):
                _transform_channel(source, layout, group * layout.channels + c, c, table, count, inputs, rows)
            held = place
        first, last = tiles * part // layout.row_parts, tiles * (part + 1) // layout.row_parts
        begin = group * tiles + first
        if layout.fresh:
            for tile in range(last - first):
                _transform_kernels(weight, packed, layout, places, strides, begin + tile, tile)
            begin = 0
        _multiply(layout, begin, last - first, min(last * ROWS, layout.rows) - first * ROWS, used, inputs, packed, sums)
        for row in range(first * ROWS, min(last * ROWS, layout.rows)):
            channel = group * layout.rows + row
            _write_channel(target, layout, channel, row - first * ROWS, table, count, sums, epilogue, rows)


@njit(nogil=True, cache=True)
def transform_block(source, grad, layout, group, block, inputs, grads, rows, table, start, stop):
    """Transform the block's tiles of some channels of a group: first those of the source, then those of the gradient.

    ``inputs`` receives 36 matrices (channels, pitch), ``grads`` 36 matrices (rows, pitch).
    """
    clear_run(rows, 0, rows.size)
    count, used = _find_runs(layout, block, table)
    for item in range(start, stop):
        if item < layout.channels:
            _transform_channel(source, layout, group * layout.channels + item, item, table, count, inputs, rows)
        else:
            row = item - layout.channels
            _transform_row(grad, layout, group * layout.rows + row, row, table, count, used, grads, rows)


@njit(nogil=True, cache=True)
def correlate_block(layout, block, offsets, inputs, grads, sums, start, stop):
    """Add a block's products to matrices [start, stop) of ``sums``, 36 of (tiles of rows, offsets, ROWS)."""
    used = min(layout.block, layout.tiles - block * layout.block)
    length = (used + layout.vector - 1) // layout.vector * layout.vector
    tiles, pitch = (layout.rows + ROWS - 1) // ROWS, layout.pitch
    for m in range(start, stop):
        x = inputs[m * layout.input_step :]
        for tile in range(tiles):
            live = min(ROWS, layout.rows - tile * ROWS)
            lines = grads[m * layout.weight_step + tile * ROWS * pitch :]
            out = m * layout.sum_step + tile * offsets.size * ROWS
            for c in range(0, layout.channels, STREAMS):
                live_rows.correlate(live, lines, pitch, x, 0, offsets, c, length, sums, out + c * ROWS)


@njit(nogil=True, cache=True)
def add_gradient(sums, layout, count, weight_grad, first_row, start, stop):
    """Add G^T s G to the weights' gradient, for tiles [start, stop) of the group whose first output is ``first_row``.

    ``count`` is the number of offsets.
    """
    taps = np.zeros(9 * _KERNELS + layout.vector, sums.dtype)
    packed = np.zeros(9 * _KERNELS, sums.dtype)
    for tile in range(start, stop):
        live = min(ROWS, layout.rows - tile * ROWS)
        for first in range(0, layout.channels, _KERNELS // ROWS):
            channels = min(_KERNELS // ROWS, layout.channels - first)
            for k in range(0, channels * ROWS, layout.vector):
                # The last vector may run over into what belongs to others, and is not used there.
                tap_tiles(sums, (tile * count + first) * ROWS + k, layout.sum_step, taps, k, _KERNELS)
            for c in range(channels):
                for t in range(9):
                    copy_run(packed, (c * 9 + t) * ROWS, taps, t * _KERNELS + c * ROWS, ROWS)
            target = ((first_row + tile * ROWS) * layout.channels + first) * 9
            whole = channels * 9 // layout.vector * layout.vector if live == ROWS else 0
            for k in range(0, whole, layout.vector):
                add_block(weight_grad, target + k, layout.channels * 9, packed, k * ROWS, 0, 1)
            for k in range(whole, channels * 9):
                for r in range(live):
                    weight_grad[target + r * layout.channels * 9 + k] += packed[k * ROWS + r]


@_helper
def _find_runs(layout, block, table):
    """List the block's runs of tiles; return their number and that of the tiles."""
    begin = block * layout.block
    end = min(begin + layout.block, layout.tiles)
    tile, count = begin, 0
    while tile < end:
        column, line = tile % layout.tile_columns, tile // layout.tile_columns
        row, line = line % layout.tile_rows, line // layout.tile_rows
        w_phase, line = line % layout.dilation[1], line // layout.dilation[1]
        h_phase, image = line % layout.dilation[0], line // layout.dilation[0]
        length = min(layout.tile_columns - column, end - tile)
        table[count, 0] = image
        table[count, 1] = row * STEP * layout.dilation[0] + h_phase
        table[count, 2] = column * STEP * layout.dilation[1] + w_phase
        table[count, 3] = length
        table[count, 4] = tile - begin
        tile += length
        count += 1
    return count, end - begin


@_helper
def _transform_channel(source, layout, channel, c, table, count, inputs, rows):
    """Transform one channel of the block's tiles; vectors may run over into what is written next."""
    height, width = layout.source
    stride = layout.dilation[1]
    for run in range(count):
        length = STEP * table[run, 3] + SIZE - STEP
        w_first = table[run, 2] - layout.low[1]
        begin, end = live_rows.inside(width, stride, w_first, length)
        plane = table[run, 0] * layout.groups * layout.channels + channel
        for i in range(SIZE):
            h = table[run, 1] + i * layout.dilation[0] - layout.low[0]
            row = i * layout.row_length
            if not 0 <= h < height:
                clear_run(rows, row, length)
                continue
            index = (plane * height + h) * width + w_first
            clear_run(rows, row, begin)
            if stride == 1:
                copy_run(rows, row + begin, source, index + begin, end - begin)
            else:
                pick_run(rows, row + begin, source, index + begin * stride, stride, end - begin)
            clear_run(rows, row + end, length - end)
        place = c * layout.pitch + table[run, 4]
        for tile in range(0, table[run, 3], layout.vector):
            input_tiles(rows, STEP * tile, layout.row_length, inputs, place + tile, layout.input_step)


@_helper
def _transform_row(grad, layout, channel, row, table, count, used, grads, rows):
    """Transform one channel of the output's gradient, 0 outside the image and behind the last tile."""
    height, width = layout.target
    stride = layout.dilation[1]
    for run in range(count):
        length, w = STEP * table[run, 3], table[run, 2]
        inside = max(0, min(length, (width - 1 - w) // stride + 1))
        plane = table[run, 0] * layout.groups * layout.rows + channel
        for i in range(STEP):
            h = table[run, 1] + i * layout.dilation[0]
            line = i * layout.row_length
            index = (plane * height + h) * width + w
            some = inside if h < height else 0
            if stride == 1:
                copy_run(rows, line, grad, index, some)
            else:
                pick_run(rows, line, grad, index, stride, some)
            clear_run(rows, line + some, length - some)
        place = row * layout.pitch + table[run, 4]
        for tile in range(0, table[run, 3], layout.vector):
            gradient_tiles(rows, STEP * tile, layout.row_length, grads, place + tile, layout.weight_step)
    for m in range(SIZE * SIZE):
        clear_run(grads, m * layout.weight_step + row * layout.pitch + used, layout.vector)


@_helper
def _multiply(layout, begin, tiles, rows, used, inputs, packed, sums):
    """Multiply each of the 36 matrices for some tiles, which hold so many rows and begin at ``begin`` in ``packed``."""
    offsets = np.arange(layout.channels) * layout.pitch
    zeros = np.zeros(ROWS, inputs.dtype)
    depth, pitch = layout.channels, layout.pitch
    for m in range(SIZE * SIZE):
        x = m * layout.input_step
        for tile in range(tiles):
            live = min(ROWS, rows - tile * ROWS)
            weights = m * layout.weight_step + (begin + tile) * depth * ROWS
            out = m * layout.sum_step + tile * ROWS * pitch
            for p in range(0, used, layout.strip):
                live_rows.multiply(live, inputs, x + p, offsets, packed, weights, depth, zeros, 0, sums, out + p, pitch)


@_helper
def _write_channel(target, layout, channel, row, table, count, sums, epilogue, rows):
    """Transform one channel of the block's sums back and write its pixels."""
    height, width = layout.target
    stride = layout.dilation[1]
    (factors, slope), ending = epilogue
    kind = kind_of(ending)
    for run in range(count):
        place = row * layout.pitch + table[run, 4]
        for tile in range(0, table[run, 3], layout.vector):
            output_tiles(
                sums, place + tile, layout.sum_step, factors, 2 * channel, slope, rows, STEP * tile, layout.row_length
            )
        w = table[run, 2]
        length = max(0, min(STEP * table[run, 3], (width - 1 - w) // stride + 1))
        plane = table[run, 0] * layout.groups * layout.rows + channel
        for i in range(STEP):
            h = table[run, 1] + i * layout.dilation[0]
            if h >= height:
                break
            index = (plane * height + h) * width + w
            if stride == 1:
                copy_run(target, index, rows, i * layout.row_length, length)
                end_rows(target, index, 1, 0, length, ending, kind, channel)
            else:
                spread_run(target, index, stride, rows, i * layout.row_length, length)
                for pixel in range(length if kind > 0 else 0):
                    end_rows(target, index + pixel * stride, 1, 0, 1, ending, kind, channel)
