"""The compiled loops; arrays are flat, sizes come in a `plan.Layout`."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.panels.loops import add_products, pack_panel
from segcaffe.kernels.convolution.winograd_panels.transforms import (
    copy_inside,
    input_2,
    input_4,
    output_2,
    output_4,
    weights_2,
    weights_4,
)
from segcaffe.kernels.vector.tile import ROWS, STREAMS, copy_run

# Functions that only others here call compile faster without the code that takes arguments from Python.
_helper = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@njit(nogil=True, cache=True)
def transform_weights(weight, packed, layout, panels, start, stop):
    """Write panels [start, stop) of the weights, each as matrices (channels, outputs of the panel), 0 beyond them."""
    channels, length = layout.channels, layout.vector
    taps = np.empty(9 * channels * STREAMS * length, weight.dtype)
    for panel in range(start, stop):
        first, streams, output, live = panels[panel, 1], panels[panel, 2], panels[panel, 3], panels[panel, 4]
        width = streams * length
        begin = first * length * channels * layout.size**2
        pack_panel(weight, output, live, taps, 0, width, 9 * channels, length)
        for c in range(channels):
            for v in range(streams):
                to, place = begin + c * width + v * length, c * 9 * width + v * length
                if layout.step == 2:
                    weights_2(taps, place, width, packed, to, channels * width)
                else:
                    weights_4(taps, place, width, packed, to, channels * width)


@njit(nogil=True, cache=True)
def transform_block(source, layout, tables, inputs, rows, start, stop):
    """Transform channels [start, stop) of the first block's tiles, where there is one block and one group."""
    _transform_channels(source, layout, tables, 0, 0, inputs, rows, start, stop)


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, tables, memory, ready, start, stop):
    """Compute items [start, stop), each a block of tiles, a panel of weights, and a part of the block's groups.

    ``epilogue`` is a table and what becomes of negative results. ``memory`` is room for a block's transformed input,
    which is there already if ``ready``, for rows of pixels, sums, and a tile of pixels.
    """
    inputs, rows, sums, edge = memory
    panels = tables.panels
    held = -1
    for item in range(start, stop):
        part, block = item % layout.parts, item // layout.parts
        panel, block = block % layout.panels, block // layout.panels
        group = panels[panel, 0]
        if not ready and block * layout.groups + group != held:
            _transform_channels(source, layout, tables, block, group, inputs, rows, 0, layout.channels)
            held = block * layout.groups + group
        first, count = tables.blocks[block, 2], tables.blocks[block, 3] - tables.blocks[block, 2]
        shares = first + count * part // layout.parts, first + count * (part + 1) // layout.parts
        _multiply(layout, tables, shares, panel, inputs, packed, sums)
        for v in range(panels[panel, 2]):
            _write_tiles(layout, tables, (block, shares), (panel, v), sums, epilogue, target, edge)


@_helper
def _transform_channels(source, layout, tables, block, group, inputs, rows, start, stop):
    """Transform some channels of a block's tiles."""
    runs, blocks = tables.runs, tables.blocks
    height, width = layout.source
    step, size, length, row_length = layout.step, layout.size, layout.vector, layout.row_length
    far = size * row_length
    for c in range(start, stop):
        used = 0
        for run in range(blocks[block, 0], blocks[block, 1]):
            plane = (runs[run, 0] * layout.groups + group) * layout.channels + c
            column, count, to = runs[run, 2] * step - layout.low[1], step * runs[run, 3], step * runs[run, 4]
            for i in range(size):
                row = runs[run, 1] * step + i - layout.low[0]
                there = width if 0 <= row < height else 0
                line = (plane * height + row) * width
                copy_inside(rows, i * row_length + to, source, line, column, there, count)
                copy_inside(rows, far + i * row_length + to, source, line, column + step, there, count)
            used = runs[run, 4] + runs[run, 3]
        for tile in range(0, used, length):
            # The last vector is moved back, lest it write over what is not its own.
            first = max(0, min(tile, used - length))
            place, near = c * layout.pitch + first, step * first
            if step == 2:
                input_2(rows, near, far + near, row_length, inputs, place, layout.input_step)
            else:
                input_4(rows, near, far + near, row_length, inputs, place, layout.input_step)


@_helper
def _multiply(layout, tables, shares, panel, inputs, packed, sums):
    """The products of a block's groups, from the first to the second of ``shares``, with a panel, matrix by matrix."""
    offsets, places, _, _, groups, panels = tables
    first, streams = panels[panel, 1], panels[panel, 2]
    depth, width = layout.channels, streams * layout.vector
    begin, end = shares
    matrix = depth * width
    weights = first * layout.vector * depth * layout.size**2
    step = (width + end - begin - 1) // (end - begin)
    for m in range(layout.size * layout.size):
        following = (weights + matrix) % packed.size
        for g in range(begin, end):
            # In the meantime the next matrix comes from memory, a part of it with each group.
            fetch = packed, following + (g - begin) * step * depth, step
            x, place = (inputs, m * layout.input_step), (places, groups[g, 0])
            out = sums, m * layout.sum_step + (g - begin) * STREAMS * ROWS * layout.vector
            add_products(streams, groups[g, 1], x, place, offsets, (packed, weights), fetch, out)
        weights += matrix


@_helper
def _write_tiles(layout, tables, place, vector, sums, epilogue, target, edge):
    """Transform the sums of a vector of a panel, of a block's groups, back and write their pixels."""
    (block, shares), (panel, v) = place, vector
    _, _, blocks, runs, groups, panels = tables
    height, width = layout.target
    step, length = layout.step, layout.vector
    output, live = panels[panel, 3] + v * length, panels[panel, 4] - v * length
    number, begin, run = panels[panel, 1] + v, shares[0], blocks[block, 0]
    last = blocks[block, 1] - 1
    used = runs[last, 4] + runs[last, 3]
    for g in range(begin, shares[1]):
        # A block may have fewer tiles than a group.
        for j in range(min(groups[g, 1], used - groups[g, 0])):
            tile = groups[g, 0] + j
            while tile >= runs[run, 4] + runs[run, 3]:
                run += 1
            while tile < runs[run, 4]:
                run -= 1
            h, w = runs[run, 1] * step, (runs[run, 2] + tile - runs[run, 4]) * step
            plane = runs[run, 0] * layout.outputs + output
            given = sums, (((g - begin) * STREAMS + v) * ROWS + j) * length
            to, shape = (plane * height + h) * width + w, (height - h, width - w)
            if live >= length:
                strides = height * width, width
                if step == 2:
                    output_2(given, layout.sum_step, epilogue, number, (target, to), strides, shape)
                else:
                    output_4(given, layout.sum_step, epilogue, number, (target, to), strides, shape)
                continue
            strides = step * step, step
            if step == 2:
                output_2(given, layout.sum_step, epilogue, number, (edge, 0), strides, strides)
            else:
                output_4(given, layout.sum_step, epilogue, number, (edge, 0), strides, strides)
            for r in range(live):
                for i in range(min(step, shape[0])):
                    place = to + (r * height + i) * width
                    copy_run(target, place, edge, (r * step + i) * step, min(step, shape[1]))
