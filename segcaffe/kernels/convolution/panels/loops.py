"""The compiled loops of convolution by panels; arrays are flat, sizes come in a `plan.Layout`."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.panels.tile import (
    finish_sums,
    sum_full_1,
    sum_full_2,
    sum_full_3,
    sum_less_1,
    sum_less_2,
    sum_less_3,
    turn_block,
)
from segcaffe.kernels.vector.tile import ROWS, clear_run, copy_run, pick_run

# Functions that only others here call compile faster without the code that takes arguments from Python.
_helper = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@njit(nogil=True, cache=True)
def pack_weights(weight, packed, panels, depth, vector, start, stop):
    """Write panels [start, stop) of the weights, (outputs, depth), as (depth, outputs of the panel), with 0 beyond."""
    for panel in range(start, stop):
        width, live = panels[panel, 2] * vector, panels[panel, 4]
        pack_panel(weight, panels[panel, 3], live, packed, panels[panel, 1] * vector * depth, width, depth, vector)


@_helper
def pack_panel(weight, output, live, packed, begin, width, depth, vector):
    """Write ``live`` rows of the weights, from ``output`` on, as (depth, width), with 0 beyond."""
    start, rows, whole = output * depth, live // ROWS * ROWS, depth // vector * vector
    for r in range(0, rows, ROWS):
        for k in range(0, whole, vector):
            turn_block(packed, begin + k * width + r, width, weight, start + r * depth + k, depth)
    for k in range(depth):
        done = rows if k < whole else 0
        to = begin + k * width
        pick_run(packed, to + done, weight, start + done * depth + k, depth, live - done)
        clear_run(packed, to + live, width - live)


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, tables, memory, start, stop):
    """Compute items [start, stop), counted over images, bands, panels and parts of a band's groups.

    ``epilogue`` is (table, kind of rectifier, whether there is an addend), and the addend. ``memory`` is room for a
    band's copy, for a tile's sums, and for a vector of results and what is added to them.
    """
    copy, edge = memory[0], memory[1:]
    held = -1, -1
    for item in range(start, stop):
        panel, band, image, shares = find(item, layout, tables.bands)
        if layout.copied and held != (image, band):
            copy_band(source, image * layout.image, tables.bands[band, 0], layout, copy)
            held = image, band
        x = (copy, 0) if layout.copied else (source, image * layout.image)
        to = target, image * layout.outputs * layout.pixels + tables.bands[band, 1]
        _panel(x, panel, packed, tables, epilogue, to, shares, edge, layout)


@njit(inline="always")
def find(item, layout, bands):
    """The panel, the band and the image of a piece of work, and its range of the band's groups."""
    part, place = item % layout.parts, item // layout.parts
    panel, place = place % layout.panels, place // layout.panels
    band, image = place % layout.bands, place // layout.bands
    first, count = bands[band, 2], bands[band, 3] - bands[band, 2]
    shares = first + count * part // layout.parts, first + count * (part + 1) // layout.parts
    return panel, band, image, shares


@_helper
def _panel(x, panel, weights, tables, epilogue, target, shares, edge, layout):
    """One panel of weights with some groups of pixels."""
    offsets, places, _, groups, panels = tables
    (x, x_at), (ending, addend), (target, to), (sums, lines) = x, epilogue, target, edge
    depth, vector, pixels = offsets.size, layout.vector, layout.pixels
    first, streams, output, live = panels[panel, 1], panels[panel, 2], panels[panel, 3], panels[panel, 4]
    x_at += panels[panel, 0]
    weights_at = first * vector * depth
    # In the meantime the next panel comes from memory, a part of it with each group.
    following, size = (weights_at + streams * vector * depth) % weights.size, streams * vector
    step = (size + shares[1] - shares[0] - 1) // (shares[1] - shares[0])
    for g in range(shares[0], shares[1]):
        fetch = weights, following + (g - shares[0]) * step * depth, step
        size, at = groups[g, 1], to + output * pixels + groups[g, 0]
        add_products(streams, size, (x, x_at), (places, groups[g, 0]), offsets, (weights, weights_at), fetch, (sums, 0))
        for v in range(streams):
            own, some, at_v = (sums, v * ROWS * vector), live - v * vector, at + v * vector * pixels
            if some >= vector and size >= ROWS - 1:
                finish_sums(own, ending, first + v, (addend, at_v), (target, at_v), pixels, size)
                continue
            # Not all outputs of the vector, or pixels of the group, exist.
            some = min(some, vector)
            for r in range(some if addend.size > 0 else 0):
                copy_run(lines, (vector + r) * ROWS, addend, at_v + r * pixels, size)
            finish_sums(own, ending, first + v, (lines, vector * ROWS), (lines, 0), ROWS, ROWS)
            for r in range(some):
                copy_run(target, at_v + r * pixels, lines, r * ROWS, size)


@njit(inline="always")
def add_products(streams, size, x, places, offsets, weights, fetch, sums):
    """The sums of so many vectors and pixels."""
    count = offsets.size
    if size != ROWS - 1:
        if streams == 3:
            sum_full_3(x, places, offsets, weights, count, fetch, sums)
        elif streams == 2:
            sum_full_2(x, places, offsets, weights, count, fetch, sums)
        else:
            sum_full_1(x, places, offsets, weights, count, fetch, sums)
    elif streams == 3:
        sum_less_3(x, places, offsets, weights, count, fetch, sums)
    elif streams == 2:
        sum_less_2(x, places, offsets, weights, count, fetch, sums)
    else:
        sum_less_1(x, places, offsets, weights, count, fetch, sums)


@_helper
def copy_band(source, image, row, layout, copy):
    """Copy the rows that the band from a row of pixels on needs, all channels, with zeros around the image."""
    (depth, height, width), (d_size, h_size, w_size) = layout.source, layout.size
    d_low, h_low, w_low = layout.low
    before = max(0, w_low)
    length = max(0, min(width + min(0, w_low), w_size - before))
    index = 0
    for channel in range(layout.channels):
        for d in range(d_size):
            for h in range(h_size):
                d_from, h_from = d - d_low, row * layout.step + h - h_low
                if 0 <= d_from < depth and 0 <= h_from < height:
                    line = image + ((channel * depth + d_from) * height + h_from) * width - min(0, w_low)
                    clear_run(copy, index, before)
                    copy_run(copy, index + before, source, line, length)
                    clear_run(copy, index + before + length, w_size - before - length)
                else:
                    clear_run(copy, index, w_size)
                index += w_size
