"""The compiled loops of the CPU's convolution; arrays are flat, sizes come in a `plan.Layout`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.jit.compiled import CONTRACT, REASSOC, njit
from segcaffe.kernels.convolution.ending import end_rows, kind_of
from segcaffe.kernels.convolution.plan import CHUNK_VECTORS
from segcaffe.kernels.vector import rows as live_rows
from segcaffe.kernels.vector.tile import (
    ROWS,
    STREAMS,
    add_block,
    clear_run,
    convolve_8,
    copy_run,
    copy_strip,
    pack_block,
    pick_run,
    spread_run,
)

FIELDS = 7
"""Of a segment, a run of target pixels: image, depth, height, width, length, position in the block, target index."""


class Memory(NamedTuple):
    """A thread's memory for a block: copy of the source, lines of results or gradients, and table of segments."""

    copy: Any
    lines: Any
    table: Any


# Functions that only others here call compile faster without the code that takes arguments from Python. Those called
# in inner loops are inlined: a call counts references to its arrays, with locked instructions.
_helper = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@njit(nogil=True, cache=True)
def pack_weights(weight, packed, places, rows, row_stride, group_stride, tiles, vector, start, stop):
    """Write tiles [start, stop) of the weights as (tile, places, ROWS), rows that do not exist as 0.

    ``vector`` is a vector's length where the places of a row lie next to each other, else 0.
    """
    depth = places.size
    for tile in range(start, stop):
        first = tile % tiles * ROWS
        live = min(ROWS, rows - first)
        source = tile // tiles * group_stride + first * row_stride
        done = 0
        if live == ROWS and vector > 0:
            done = depth // vector * vector
            for k in range(0, done, vector):
                pack_block(packed, (tile * depth + k) * ROWS, weight, source + k, row_stride)
        for k in range(done, depth):
            target = (tile * depth + k) * ROWS
            if live == ROWS and row_stride == 1:
                copy_run(packed, target, weight, source + places[k], ROWS)
            else:
                pick_run(packed, target, weight, source + places[k], row_stride, live)
                clear_run(packed, target + live, ROWS - live)


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, tables, memory, start, stop):
    """Compute items [start, stop) of a pass; an item is a block, a group, and a part of the group's tiles.

    ``epilogue`` is what registers do, scales and biases, (groups * tiles * ROWS, 2), and the slope; and the ending.
    """
    taps, residues, offsets = tables
    epilogue, ending = epilogue
    kind = kind_of(ending)
    copy, out, table = memory
    blocks = layout.blocks[0] * layout.blocks[1] * layout.blocks[2]
    tiles = (layout.rows + ROWS - 1) // ROWS
    depth, positions = layout.channels * len(taps), layout.positions
    held = -1
    segments, used = 0, 0
    for item in range(start, stop):
        part, place = item % layout.row_parts, item // layout.row_parts
        group = place // blocks
        if place != held:
            segments, used = _find_segments(layout, place % blocks, table)
            first = group * layout.channels
            _copy_source(source, layout, taps, residues, first, layout.channels, table, segments, used, copy)
            held = place
        for tile in range(tiles * part // layout.row_parts, tiles * (part + 1) // layout.row_parts):
            live = min(ROWS, layout.rows - tile * ROWS)
            row = (group * tiles + tile) * ROWS
            for p in range(0, used, layout.strip):
                x, weights = p * layout.panel, row * depth
                live_rows.convolve(live, copy, x, offsets, packed, weights, depth, epilogue, row, out, p, positions)
            _write_rows(target, layout, group * layout.rows + tile * ROWS, live, table, segments, out, ending, kind)


@njit(nogil=True, cache=True)
def convolve_pixels(source, packed, epilogue, target, sizes, panels, out, start, stop):
    """Compute spans [start, stop) of a convolution of single pixels.

    A span is a few strips, which are copied first, each as (channels, strip). Spans are counted over images, groups and
    the spans of an image. ``sizes`` are groups, channels, rows, pixels, strip length and strips of a span.
    """
    groups, channels, rows, pixels, strip, span = sizes
    epilogue, ending = epilogue
    kind = kind_of(ending)
    spans, tiles = (pixels + strip * span - 1) // (strip * span), (rows + ROWS - 1) // ROWS
    offsets = np.arange(channels) * strip
    # Each turn has some channels of the next span brought from memory, spread evenly over its steps.
    lines = 2
    while 1 << lines <= STREAMS * span:
        lines += 1
    for item in range(start, stop):
        place = item // spans
        group = place % groups
        first = item % spans * span * strip
        last = min(first + strip * span, pixels)
        following, strips = place * channels * pixels + last, (last - first + strip - 1) // strip
        turns = tiles * strips
        rate = (1 << lines + 16) // turns + 1
        _copy_panels(source, place * channels * pixels, channels, pixels, strip, first, last, panels)
        for tile in range(tiles):
            live = min(ROWS, rows - tile * ROWS)
            row = (group * tiles + tile) * ROWS
            # Of each group the last tile has rows that do not exist.
            skipped = group * (tiles * ROWS - rows)
            weights = row * channels
            for p in range(first, last, strip):
                x = (p - first) * channels
                turn = tile * strips + (p - first) // strip
                y = (place * rows + tile * ROWS) * pixels + p
                if live < ROWS or p + strip > pixels:
                    live_rows.convolve(
                        live, panels, x, offsets, packed, weights, channels, epilogue, row, out, 0, strip
                    )
                    for r in range(live):
                        copy_run(target, y + r * pixels, out, r * strip, min(strip, pixels - p))
                else:
                    fetch = source, following + turn * channels // turns * pixels, pixels, lines, rate
                    convolve_8(
                        panels, x, offsets, packed, weights, channels, epilogue, 2 * row, target, y, pixels, fetch
                    )
                end_rows(target, y, live, pixels, min(strip, pixels - p), ending, kind, row - skipped)


@_helper
def _copy_panels(source, start, channels, pixels, strip, first, last, panels):
    """Copy pixels [first, last) of the image at ``start`` strip by strip, each (channels, strip), filled up with 0."""
    for c in range(channels):
        for p in range(first, last, strip):
            target = (p - first) * channels + c * strip
            if p + strip <= last:
                copy_strip(panels, target, source, start + c * pixels + p)
            else:
                copy_run(panels, target, source, start + c * pixels + p, last - p)
                clear_run(panels, target + last - p, strip + p - last)


@_helper
def _write_rows(target, layout, first, live, table, segments, out, ending, kind):
    """Write a tile's results to the channels from ``first`` on, and end them."""
    pixels, step, positions = layout.target[0] * layout.target[1] * layout.target[2], layout.step[2], layout.positions
    for r in range(live):
        for j in range(segments):
            length, position = table[j, 4], r * positions + table[j, 5]
            index = table[j, 6] + (first + r) * pixels
            if step == 1:
                copy_run(target, index, out, position, length)
                end_rows(target, index, 1, 0, length, ending, kind, first + r)
            else:
                spread_run(target, index, step, out, position, length)
                for i in range(length if kind > 0 else 0):
                    end_rows(target, index + i * step, 1, 0, 1, ending, kind, first + r)


@njit(nogil=True, cache=True)
def weight_gradient(source, grad, sums, bias_sums, layout, tables, memory, start, stop):
    """Compute items [start, stop) of the weights' gradient.

    An item is a part of the blocks, a group, a chunk of its channels, and a part of its tiles. ``sums`` (parts, groups
    * tiles, chunks, offsets, ROWS) and ``bias_sums`` (parts, channels) hold zeros at first; of ``bias_sums`` nothing
    is written where it is empty.
    """
    taps, residues, offsets = tables
    copy, lines, table = memory
    blocks = layout.blocks[0] * layout.blocks[1] * layout.blocks[2]
    tiles = (layout.rows + ROWS - 1) // ROWS
    for item in range(start, stop):
        row_part, place = item % layout.row_parts, item // layout.row_parts
        chunk, place = place % layout.chunks, place // layout.chunks
        group, part = place % layout.groups, place // layout.groups
        first = chunk * layout.chunk
        channels = min(layout.chunk, layout.channels - first)
        for block in range(blocks * part // layout.parts, blocks * (part + 1) // layout.parts):
            segments, used = _find_segments(layout, block, table)
            length = (used + layout.vector - 1) // layout.vector * layout.vector
            first_channel = group * layout.channels + first
            _copy_source(source, layout, taps, residues, first_channel, channels, table, segments, used, copy)
            for tile in range(tiles * row_part // layout.row_parts, tiles * (row_part + 1) // layout.row_parts):
                live = min(ROWS, layout.rows - tile * ROWS)
                channel = group * layout.rows + tile * ROWS
                _copy_lines(grad, layout, channel, live, table, segments, length, lines)
                where = (((part * layout.groups + group) * tiles + tile) * layout.chunks + chunk) * offsets.size * ROWS
                step = layout.vector * CHUNK_VECTORS
                for p in range(0, length, step):
                    count = min(step, length - p)
                    for k in range(0, channels * len(taps), STREAMS):
                        to = where + k * ROWS
                        live_rows.correlate(live, lines, layout.positions, copy, p, offsets, k, count, sums, to)
                if bias_sums.size > 0 and chunk == 0:
                    for r in range(live):
                        line = part * layout.groups * layout.rows + channel + r
                        bias_sums[line] += _total(lines, r * layout.positions, length)


@njit(nogil=True, cache=True)
def add_parts(sums, layout, taps, count, weight_grad, row_stride, group_stride, start, stop):
    """Add the partial sums of tiles [start, stop) to the weights' gradient; ``count`` is the number of offsets."""
    tiles = (layout.rows + ROWS - 1) // ROWS
    part_size = layout.groups * tiles * layout.chunks * count * ROWS
    for tile in range(start, stop):
        first = tile % tiles * ROWS
        live = min(ROWS, layout.rows - first)
        for chunk in range(layout.chunks):
            target = tile // tiles * group_stride + first * row_stride + chunk * layout.chunk * taps
            source = (tile * layout.chunks + chunk) * count * ROWS
            depth = min(layout.chunk, layout.channels - chunk * layout.chunk) * taps
            whole = depth // layout.vector * layout.vector if live == ROWS else 0
            for k in range(0, whole, layout.vector):
                add_block(weight_grad, target + k, row_stride, sums, source + k * ROWS, part_size, layout.parts)
            for k in range(whole, depth):
                for r in range(live):
                    total = sums.dtype.type(0)
                    for part in range(layout.parts):
                        total += sums[part * part_size + source + k * ROWS + r]
                    weight_grad[target + r * row_stride + k] += total


@njit(nogil=True, cache=True)
def channel_sums(grad, sums, images, channels, pixels, start, stop):
    """``sums[m] += sum over images and pixels`` for channels [start, stop)."""
    for channel in range(start, stop):
        total = 0.0
        for image in range(images):
            total += _total(grad, (image * channels + channel) * pixels, pixels)
        sums[channel] += total


@njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)
def finish_rows(sums, table):
    """Scale, shift and rectify the rows of a matrix; the table has a factor, a shift and a slope for each."""
    for row in range(sums.shape[0]):
        scale, bias, slope, line = table[row, 0], table[row, 1], table[row, 2], sums[row]
        for i in range(line.size):
            value = line[i] * scale + bias
            low = slope * value if slope != 0 else slope
            line[i] = low if value <= 0 else value


@njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)
def finish_sums(sums, table, addend):
    """`finish_rows` with another matrix added before the results are rectified."""
    for row in range(sums.shape[0]):
        scale, bias, slope, line, other = table[row, 0], table[row, 1], table[row, 2], sums[row], addend[row]
        for i in range(line.size):
            value = line[i] * scale + bias + other[i]
            low = slope * value if slope != 0 else slope
            line[i] = low if value <= 0 else value


@njit(nogil=True, cache=True, fastmath=REASSOC)
def _total(values, start, length):
    total = values.dtype.type(0)
    for i in range(start, start + length):
        total += values[i]
    return total


@_helper
def _find_segments(layout, block, table):
    """List the block's runs of target pixels; return their number and how many positions the block uses."""
    depth, height, width = layout.extent
    if layout.columns:
        first = block * layout.positions
        last = min(first + layout.positions, layout.images * depth * height * width)
        count = 0
        for line in range(first // width, (last - 1) // width + 1):
            begin, end = max(line * width, first), min((line + 1) * width, last)
            image, d, h = line // (depth * height), line // height % depth, line % height
            _set_segment(layout, table, count, image, d, h, begin - line * width, end - begin, begin - first)
            count += 1
        return count, last - first
    h_first = block % layout.blocks[2] * layout.block[2]
    d_first = block // layout.blocks[2] % layout.blocks[1] * layout.block[1]
    n_first = block // (layout.blocks[2] * layout.blocks[1]) * layout.block[0]
    h_count = min(layout.block[2], height - h_first)
    d_count = min(layout.block[1], depth - d_first)
    n_count = min(layout.block[0], layout.images - n_first)
    count, position = 0, 0
    for d in range(d_count):
        for h in range(h_count):
            for n in range(n_count):
                position = ((d * layout.pitch[1] + h) * layout.block[0] + n) * layout.pitch[2]
                _set_segment(layout, table, count, n_first + n, d_first + d, h_first + h, 0, width, position)
                count += 1
    return count, position + width


@_helper
def _set_segment(layout, table, j, image, d, h, w, length, position):
    row = (
        image * layout.groups * layout.rows * layout.target[0] + layout.base[0] + layout.step[0] * d
    ) * layout.target[1]
    row = (row + layout.base[1] + layout.step[1] * h) * layout.target[2]
    table[j, 0], table[j, 1], table[j, 2], table[j, 3] = image, d, h, w
    table[j, 4], table[j, 5], table[j, 6] = length, position, row + layout.base[2] + layout.step[2] * w


@_helper
def _copy_source(source, layout, taps, residues, first, channels, table, segments, used, copy):
    if layout.columns:
        _copy_columns(source, layout, taps, first, channels, table, segments, used, copy)
    else:
        _copy_planes(source, layout, residues, first, channels, table, copy)


@_helper
def _copy_planes(source, layout, residues, first, channels, table, copy):
    """Copy the rows that the block needs: (channel, phase, depth, height, image, width), padding as 0."""
    width, images = layout.pitch[2], layout.block[0]
    index = 0
    for channel in range(first, first + channels):
        for phase in range(layout.phases[0] * layout.phases[1] * layout.phases[2]):
            d_first = residues[0, phase // (layout.phases[1] * layout.phases[2])] - layout.low[0]
            h_first = residues[1, phase // layout.phases[2] % layout.phases[1]] - layout.low[1]
            w_first = residues[2, phase % layout.phases[2]] - layout.low[2]
            begin, end = live_rows.inside(layout.source[2], layout.stride[2], w_first, width)
            for d in range(layout.pitch[0]):
                d_source = (table[0, 1] + d) * layout.stride[0] + d_first
                for h in range(layout.pitch[1]):
                    h_source = (table[0, 2] + h) * layout.stride[1] + h_first
                    inside = 0 <= d_source < layout.source[0] and 0 <= h_source < layout.source[1]
                    for image in range(table[0, 0], table[0, 0] + images):
                        plane = (image * layout.groups * layout.channels + channel) * layout.source[0] + d_source
                        row = (plane * layout.source[1] + h_source) * layout.source[2] + w_first
                        some = inside and image < layout.images
                        last = end if some else begin
                        _copy_row(source, row, layout.stride[2], copy, index, begin, last, width)
                        index += width
    # The last strip and vector read beyond the planes; what they read must be finite.
    clear_run(copy, index, copy.size - index)


@_helper
def _copy_columns(source, layout, taps, first, channels, table, segments, used, copy):
    """Copy the block's source once for each channel and tap.

    For the weights' gradient that is (channels * taps, positions), else (strips, channels * taps, strip).
    """
    stride, depth = layout.stride[2], channels * len(taps)
    run = layout.strip if layout.panel > 1 else layout.positions
    for channel in range(channels):
        for tap in range(len(taps)):
            d_first, h_first = taps[tap, 0] - layout.low[0], taps[tap, 1] - layout.low[1]
            w_first = taps[tap, 2] - layout.low[2]
            index = (channel * len(taps) + tap) * run
            for j in range(segments):
                d_source = table[j, 1] * layout.stride[0] + d_first
                h_source = table[j, 2] * layout.stride[1] + h_first
                inside = 0 <= d_source < layout.source[0] and 0 <= h_source < layout.source[1]
                plane = (table[j, 0] * layout.groups * layout.channels + first + channel) * layout.source[0] + d_source
                line = (plane * layout.source[1] + h_source) * layout.source[2] + w_first
                column, position, left = table[j, 3], table[j, 5], table[j, 4]
                while left > 0:
                    length = min(left, run - position % run)
                    begin, end = live_rows.inside(layout.source[2], stride, column * stride + w_first, length)
                    target = position // run * depth * run + index + position % run
                    end = end if inside else begin
                    _copy_row(source, line + column * stride, stride, copy, target, begin, end, length)
                    column, position, left = column + length, position + length, left - length
            position = used
            while position < layout.positions:
                length = min(layout.positions - position, run - position % run)
                clear_run(copy, position // run * depth * run + index + position % run, length)
                position += length


@njit(inline="always")
def _copy_row(source, row, stride, copy, start, begin, end, length):
    """``copy[start + i] = source[row + i * stride]`` for i in [begin, end), 0 for the others below ``length``."""
    clear_run(copy, start, begin)
    if stride == 1:
        copy_run(copy, start + begin, source, row + begin, end - begin)
    else:
        pick_run(copy, start + begin, source, row + begin * stride, stride, end - begin)
    clear_run(copy, start + end, length - end)


@_helper
def _copy_lines(grad, layout, channel, live, table, segments, length, lines):
    """Copy the block's output gradient for ``live`` channels, 0 at positions that are no output; rows up to ROWS."""
    pixels = layout.target[0] * layout.target[1] * layout.target[2]
    for r in range(ROWS):
        line = r * layout.positions
        end = line
        if r < live:
            for j in range(segments):
                position = line + table[j, 5]
                clear_run(lines, end, position - end)
                end = position + table[j, 4]
                copy_run(lines, position, grad, table[j, 6] + (channel + r) * pixels, table[j, 4])
        clear_run(lines, end, line + length - end)
