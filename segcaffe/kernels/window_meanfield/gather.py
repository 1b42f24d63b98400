"""Sums over the neighbours in a window: averages, their adjoint, and the guide's gradient."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import clear_run, copy_run
from segcaffe.kernels.window_meanfield.layout import TAPS, line_at, pair_of_rows, shift_of
from segcaffe.kernels.window_meanfield.runs import inverse_of, plus, scaled, times
from segcaffe.kernels.window_meanfield.tiles import (
    TABLE,
    gather_1,
    gather_2,
    gather_differences_1,
    gather_differences_2,
)

_NEAR = 6000
"""Pixels that are read around a run, of as many lines as use its weights one after the other: 24 kB of the cache."""


@njit(nogil=True, cache=True)
def _fill(table, side, taps, grid, lines, row, i, above, rows):
    """Write into the table the offsets of taps of some rows of a window, and where their weights begin for x = 0.

    The window's rows are i, i + 1, ..., ``above`` of ``rows``; taps that are equally far to the right lie together.
    """
    count = taps.high * taps.wide // 2
    for j in range(taps.wide):
        tap = i * taps.wide + j - taps.wide // 2
        # The centre's weights are the zeros at the beginning.
        place = 0
        if tap > 0:
            place = line_at(grid, row, count, tap - 1)
        elif tap < 0:
            place = line_at(grid, row + i * taps.down, count, -tap - 1) + shift_of(taps, j)
        entry = (j * rows + above) * TABLE
        table[entry] = shift_of(taps, j) + above * taps.down * lines * grid.pitch
        table[entry + 1 + side] = place


@njit(nogil=True, cache=True)
def _gather_rows(source, other, own, weights, taps, grid, rows, at, both, count, differences, sums):
    """Add the taps of some rows of a window to the sums of one row of pixels, or two: ``count`` lines of the source."""
    lines, total, values = source
    acc, table = sums
    first, last, half = taps.wide - 1, taps.wide - 1, taps.wide // 2
    between, apart = taps.down * total * grid.pitch, total * grid.pitch
    for x in range(0, grid.width, grid.length):
        # Only taps that are inside the image for some pixel of the run.
        while first > 0 and x + (first - 1 - half) * taps.right > -grid.length:
            first -= 1
        while last >= 0 and x + (last - half) * taps.right >= grid.width:
            last -= 1
        some = first * rows, (last + 1 - first) * rows
        if some[1] <= 0:
            continue
        for group in range(0, count, len(lines)):
            line = x + group * grid.pitch
            p, pixels, to = other + line, (own + line, between), (at + line, apart)
            # ``differences`` is a type, None for plain sums: only one branch is compiled.
            if differences is None:
                if both:
                    gather_2(lines, values, p, grid.pitch, weights, x, table, some, acc, to, pixels)
                else:
                    gather_1(lines, values, p, grid.pitch, weights, x, table, some, acc, to, pixels)
            elif both:
                gather_differences_2(lines, values, p, grid.pitch, weights, x, table, some, acc, to, pixels)
            else:
                gather_differences_1(lines, values, p, grid.pitch, weights, x, table, some, acc, to, pixels)


@njit(nogil=True, cache=True)
def _gather(source, weights, taps, grid, row, y, differences, sums):
    """Add to ``sums.acc`` (2, total, pitch) those over the neighbours of row y and of that one dilation further.

    A group of lines at a time: a line's sums stay in registers along some rows of the window. Groups follow one another
    run by run, with the run's weights and neighbours in the first-level cache.
    """
    middle, pitch, height, total = taps.high // 2, grid.pitch, grid.height, source.total
    second = y + taps.down < height
    lowest, highest = -min(middle, y // taps.down), min(middle + 1, (height - 1 - y) // taps.down)
    reach = (taps.wide - 1) * taps.right + grid.length
    near = max(1, _NEAR // reach // len(source.group)) * len(source.group)
    for group in range(0, total, near):
        i = lowest
        while i <= highest:
            one, two = i <= middle, second and i > -middle
            rows = 1
            if one and two:
                rows = min(max(1, TAPS // taps.wide), min(middle, highest) + 1 - i)
            for above in range(rows if one or two else 0):
                if one:
                    _fill(sums.table, 0, taps, grid, total, row, i + above, above, rows)
                if two:
                    side = 1 if one else 0
                    _fill(sums.table, side, taps, grid, total, row + taps.down, i + above - 1, above, rows)
            if one or two:
                other = line_at(grid, row + i * taps.down, total, group)
                own = line_at(grid, row if one else row + taps.down, total, group)
                at = (group if one else total + group) * pitch
                count = min(near, total - group)
                _gather_rows(source, other, own, weights, taps, grid, rows, at, one and two, count, differences, sums)
            i += rows


@njit(nogil=True, cache=True)
def _begin(values, total, grid, row, down, center, acc):
    """Clear the sums of two rows, or begin them with the pixels themselves, which then are their own neighbours."""
    for second in range(2 if center else 0):
        copy_run(acc, second * total * grid.pitch, values, line_at(grid, row, total, 0), total * grid.pitch)
        row += down
    if not center:
        clear_run(acc, 0, 2 * total * grid.pitch)


@njit(inline="always")
def _inside(size, position, count, dilation):
    """How many of ``count`` taps around a position are inside."""
    half = count // 2
    return min(half, position // dilation) + min(half, (size - 1 - position) // dilation) + 1


@njit(nogil=True, cache=True)
def _average(acc, at, classes, taps, grid, y, outside, missing, inverse, factor, out, to):
    """Divide sums by those of the weights, which are the line behind the classes'; ``inverse`` gets the factors."""
    pitch, width = grid.pitch, grid.width
    if outside:
        down = _inside(grid.height, y, taps.high, taps.down)
        for x in range(width):
            missing[x] = taps.high * taps.wide - down * _inside(width, x, taps.wide, taps.right)
    inverse_of(acc, at + classes * pitch, missing, inverse, factor, width)
    for c in range(classes):
        times(acc, at + c * pitch, inverse, factor, out, to + c * pitch, width)


@njit(nogil=True, cache=True)
def average(source, weights, taps, grid, center, divisor, target, sums, start, stop):
    """Windows' averages of the source; pairs of rows [start, stop)."""
    total, acc = source.total, sums.acc
    outside, inverse, inverse_at = divisor
    missing = np.zeros(grid.width, source.flat.dtype)
    for item in range(start, stop):
        n, y = pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        down = taps.down if y + taps.down < grid.height else 0
        _begin(source.flat, total, grid, row, down, center, acc)
        _gather(source, weights, taps, grid, row, y, None, sums)
        for second in range(2 if down else 1):
            here, at = row + second * down, second * total * grid.pitch
            to, factor = line_at(grid, here, target.lines, target.first), inverse_at + here * grid.pitch
            position = y + second * down
            _average(acc, at, target.classes, taps, grid, position, outside, missing, inverse, factor, target.flat, to)


@njit(nogil=True, cache=True)
def spread(source, weights, taps, grid, center, out, classes, adds, sums, start, stop):
    """Sums over neighbours of the source, written or added to ``out`` (rows of ``classes`` lines)."""
    total, acc = source.total, sums.acc
    for item in range(start, stop):
        n, y = pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        down = taps.down if y + taps.down < grid.height else 0
        _begin(source.flat, total, grid, row, down, center, acc)
        _gather(source, weights, taps, grid, row, y, None, sums)
        for second in range(2 if down else 1):
            to = line_at(grid, row + second * down, classes, 0)
            at, count = second * total * grid.pitch, classes * grid.pitch
            if adds:
                plus(acc, at, out, to, out, to, count)
            else:
                copy_run(out, to, acc, at, count)


@njit(nogil=True, cache=True)
def guide_gradient(source, pairs, taps, grid, factor, out, sums, start, stop):
    """``out`` (N, C, H, W): factor times the sum over neighbours of the pair's number times the difference to them."""
    channels, width, flat = out.shape[1], grid.width, out.reshape(-1)
    total, acc = source.total, sums.acc
    for item in range(start, stop):
        n, y = pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        _begin(source.flat, total, grid, row, 0, False, acc)
        _gather(source, pairs, taps, grid, row, y, 1, sums)
        for second in range(2 if y + taps.down < grid.height else 1):
            for c in range(channels):
                to = ((n * channels + c) * grid.height + y + second * taps.down) * width
                scaled(acc, (second * total + c) * grid.pitch, factor, flat, to, width)
