"""The weights of pairs of pixels from distances, and their gradients from products."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import clear_run
from segcaffe.kernels.window_meanfield.layout import line_at, overlap, pair_of_rows, shift_of
from segcaffe.kernels.window_meanfield.runs import exponentials, times
from segcaffe.kernels.window_meanfield.tiles import (
    compare_products_1,
    compare_products_2,
    compare_squares_1,
    compare_squares_2,
)

_CHANNELS = 36
"""Channels of a guide that are compared at a time, so that what a run reads stays in the first-level cache."""


@njit(nogil=True, cache=True)
def pairs(offsets, given, weights, factor, out, taps, grid, sums, start, stop):
    """Fill pairs, for pairs of rows [start, stop).

    Without ``weights`` they are exp(factor * sum over channels of (a(x) - b(x + tap))^2), else weights times the sum of
    ``a(x) b(x + tap) + b(x) a(x + tap)``. Taps of one row of the window are taken len(offsets) at a time.
    """
    middle_y, middle_x, count = taps.high // 2, taps.wide // 2, taps.high * taps.wide // 2
    pitch, together = grid.pitch, len(offsets)
    for item in range(start, stop):
        n, y = pair_of_rows(item, grid, taps.down)
        row = n * grid.height + y
        for i in range(middle_y + 2 if y < grid.height else 0):
            if y + i * taps.down >= grid.height:
                break
            for first in range(0, taps.wide, together):
                later = min(first + together, taps.wide) - 1 > middle_x
                one = i <= middle_y and (i > 0 or later)
                two = y + taps.down < grid.height and i > 0 and (i > 1 or later)
                clear_run(sums, 0, 2 * together * pitch)
                if one or two:
                    own, other = row if one else row + taps.down, row + i * taps.down
                    shift = shift_of(taps, first)
                    _add_comparisons(offsets, given, weights, own, other, shift, one and two, taps, grid, sums)
                for second in range(2):
                    if not (two if second else one):
                        continue
                    for k in range(min(together, taps.wide - first)):
                        pair = (i - second) * taps.wide + first + k - middle_x - 1
                        if pair >= 0:
                            left, right = overlap(grid.width, shift_of(taps, first + k))
                            at = (k + (together if second and one else 0)) * pitch
                            to = line_at(grid, row + second * taps.down, count, pair)
                            clear_run(out, to, left)
                            if weights is None:
                                exponentials(sums, at + left, factor, out, to + left, right - left)
                            else:
                                times(sums, at + left, weights, to + left, out, to + left, right - left)
                            clear_run(out, to + right, grid.width - right)


@njit(nogil=True, cache=True)
def _add_comparisons(offsets, given, weights, own, other, shift, both, taps, grid, sums):
    """Compare row ``own``, or that one and the one a dilation further, with taps of row ``other``."""
    a, b, size, lines, channels = given
    pitch, right, between = grid.pitch, taps.right, taps.down * lines * grid.pitch
    # Products of many images, or squares of as many channels at a time as stay in the first-level cache.
    step = channels if weights is not None else _CHANNELS
    for part in range(a.size // size):
        for channel in range(0, channels, step):
            p = part * size + line_at(grid, own, lines, channel)
            q = part * size + line_at(grid, other, lines, channel) + shift
            here = min(step, channels - channel)
            for x in range(0, grid.width, grid.length):
                if weights is None:
                    if both:
                        compare_squares_2(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                    else:
                        compare_squares_1(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                elif both:
                    compare_products_2(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                else:
                    compare_products_1(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
