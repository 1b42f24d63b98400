"""The compiled loops of mean-field inference with symmetric windows.

Images lie as rows: (N, H, lines, pitch), one line a channel, with zeros behind each line's pixels, and `Grid.lead`
zeros before the first and behind the last line. Of a window's taps only those behind its centre have weights of their
own ("pairs"): the weight between two pixels is the same seen from either. Pairs that leave the image have weight 0.

Two rows of pixels, y and y + down, are taken together, since their windows have all rows but one in common. With a
window of three rows (X are the pixels, o their neighbours)::

    row             window of y     window of y + down
    y - down        o o o                               for the first alone
    y               o X o           o o o               for both: each neighbour is loaded once
    y + down        o o o           o X o               for both
    y + 2 * down                    o o o               for the second alone

Only the taps behind the centres are pairs: in the first window those right of its X and below.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.jit.compiled import FAST, njit
from segcaffe.kernels.vector import rows as live_rows
from segcaffe.kernels.vector.tile import (
    ROWS,
    STREAMS,
    clear_run,
    copy_run,
)
from segcaffe.kernels.vector.vector_math import exp
from segcaffe.kernels.window_meanfield.tiles import (
    TABLE,
    compare_products_1,
    compare_products_2,
    compare_squares_1,
    compare_squares_2,
    gather_1,
    gather_2,
    gather_differences_1,
    gather_differences_2,
)

TAPS = 26
"""Taps whose sums are made in the registers at a time, unless a row of the window has more."""
PARTS = 16
"""Into how many sums the gradients of the matrices are divided."""
_CHANNELS = 36
"""Channels of a guide that are compared at a time, so that three rows of them stay in the first-level cache."""


class Grid(NamedTuple):
    """Sizes of an image's rows; ``length`` is a vector register's, ``strip`` what one call of ``multiply_*`` takes."""

    height: int
    width: int
    pitch: int
    lead: int
    length: int
    strip: int


class Taps(NamedTuple):
    """A window: its height and width in taps, and its dilations."""

    high: int
    wide: int
    down: int
    right: int


class Source(NamedTuple):
    """Images whose neighbours are summed: ``total`` lines a row, taken as many at a time as ``group`` has elements."""

    group: tuple[int, ...]
    total: int
    flat: Any


class Compared(NamedTuple):
    """Two stacks of images, ``size`` numbers each: rows of ``lines``, of which the first ``channels`` are compared."""

    a: Any
    b: Any
    size: int
    lines: int
    channels: int


class Sums(NamedTuple):
    """A thread's memory: sums of two rows, and the table of taps."""

    acc: Any
    table: Any


class Divisor(NamedTuple):
    """What averages are divided by: whether taps outside count; the inverses, and where they begin."""

    outside: bool
    inverse: Any
    at: int


class Target(NamedTuple):
    """Where averages go: from line ``first`` on of rows of ``lines``, one for each class."""

    flat: Any
    lines: int
    first: int
    classes: int


class Matrix(NamedTuple):
    """A factor of lines that lie ``offsets`` apart: tiles of ROWS rows, and ROWS zeros."""

    packed: Any
    offsets: Any
    zeros: Any


class Gradients(NamedTuple):
    """Rows of ``lines`` for each window, ``apart`` numbers apart."""

    flat: Any
    apart: int
    lines: int


@njit(inline="always")
def _line(grid, row, lines, line):
    """Where a line's first pixel is."""
    return grid.lead + (row * lines + line) * grid.pitch


@njit(inline="always")
def _pair_of_rows(item, grid, down):
    """The image and the first row of a work item; the second is ``down`` further, and either may not exist."""
    each = -(-grid.height // (2 * down)) * down
    k = item % each
    return item // each, k // down * 2 * down + k % down


@njit(inline="always")
def _overlap(width, shift):
    """The pixels x of a row for which x + shift is in it too; (width, width) if there are none."""
    left, right = max(0, -shift), min(width, width - shift)
    return (left, right) if left < right else (width, width)


@njit(nogil=True, cache=True)
def to_rows(images, rows, lines, grid, start, stop):
    """Copy rows [start, stop) of (N, C, H, W), counted over all images."""
    _, channels, height, width = images.shape
    flat = images.reshape(-1)
    for row in range(start, stop):
        n, y = row // height, row % height
        for c in range(channels):
            copy_run(rows, _line(grid, row, lines, c), flat, ((n * channels + c) * height + y) * width, width)


# Elementwise loops on flat arrays: slices would be counted. Starts are unsigned, because an index that may be negative
# would be checked for Python's wrap-around.


@njit(nogil=True, cache=True)
def _scaled(source, at, factor, target, to, count):
    a, b = np.uint64(at), np.uint64(to)
    for x in range(np.uint64(count)):
        target[b + x] = source[a + x] * factor


@njit(nogil=True, cache=True)
def _times(source, at, factors, beside, target, to, count):
    a, b, c = np.uint64(at), np.uint64(beside), np.uint64(to)
    for x in range(np.uint64(count)):
        target[c + x] = source[a + x] * factors[b + x]


@njit(nogil=True, cache=True)
def _plus(source, at, other, beside, target, to, count):
    a, b, c = np.uint64(at), np.uint64(beside), np.uint64(to)
    for x in range(np.uint64(count)):
        target[c + x] = source[a + x] + other[b + x]


@njit(nogil=True, cache=True, fastmath=FAST)
def _add_times(source, at, factors, beside, sums, count):
    a, b = np.uint64(at), np.uint64(beside)
    for x in range(np.uint64(count)):
        sums[x] += source[a + x] * factors[b + x]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _inverse(source, at, extra, target, to, count):
    a, b = np.uint64(at), np.uint64(to)
    one = source.dtype.type(1)
    for x in range(np.uint64(count)):
        target[b + x] = one / (source[a + x] + extra[x])


@njit(nogil=True, cache=True, fastmath=FAST)
def _exponentials(sums, at, factor, target, to, count):
    a, b = np.uint64(at), np.uint64(to)
    for x in range(np.uint64(count)):
        target[b + x] = exp(sums[a + x] * factor)


@njit(inline="always")
def _shift(taps, j):
    return (j - taps.wide // 2) * taps.right


@njit(nogil=True, cache=True)
def compare(offsets, given, weights, factor, out, taps, grid, sums, start, stop):
    """Fill pairs, for pairs of rows [start, stop).

    Without ``weights`` they are exp(factor * sum over channels of (a(x) - b(x + tap))^2), else weights times the sum of
    ``a(x) b(x + tap) + b(x) a(x + tap)``. Taps of one row of the window are taken len(offsets) at a time.
    """
    middle_y, middle_x, count = taps.high // 2, taps.wide // 2, taps.high * taps.wide // 2
    pitch, together = grid.pitch, len(offsets)
    for item in range(start, stop):
        n, y = _pair_of_rows(item, grid, taps.down)
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
                    shift = _shift(taps, first)
                    _add_comparisons(offsets, given, weights, own, other, shift, one and two, taps, grid, sums)
                for second in range(2):
                    if not (two if second else one):
                        continue
                    for k in range(min(together, taps.wide - first)):
                        pair = (i - second) * taps.wide + first + k - middle_x - 1
                        if pair >= 0:
                            left, right = _overlap(grid.width, _shift(taps, first + k))
                            at = (k + (together if second and one else 0)) * pitch
                            to = _line(grid, row + second * taps.down, count, pair)
                            clear_run(out, to, left)
                            if weights is None:
                                _exponentials(sums, at + left, factor, out, to + left, right - left)
                            else:
                                _times(sums, at + left, weights, to + left, out, to + left, right - left)
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
            p = part * size + _line(grid, own, lines, channel)
            q = part * size + _line(grid, other, lines, channel) + shift
            here = min(step, channels - channel)
            for x in range(0, grid.width, grid.length):
                if weights is None:
                    if both:
                        compare_squares_2(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                    else:
                        compare_squares_1(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                elif both:
                    compare_products_2(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                    compare_products_2(offsets, b, p + x, between, a, q + x, right, pitch, here, sums, x, pitch)
                else:
                    compare_products_1(offsets, a, p + x, between, b, q + x, right, pitch, here, sums, x, pitch)
                    compare_products_1(offsets, b, p + x, between, a, q + x, right, pitch, here, sums, x, pitch)


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
            place = _line(grid, row, count, tap - 1)
        elif tap < 0:
            place = _line(grid, row + i * taps.down, count, -tap - 1) + _shift(taps, j)
        entry = (j * rows + above) * TABLE
        table[entry] = _shift(taps, j) + above * taps.down * lines * grid.pitch
        table[entry + 1 + side] = place


@njit(nogil=True, cache=True)
def _gather_rows(source, other, own, weights, taps, grid, rows, at, both, differences, sums):
    """Add the taps of some rows of a window to the sums of one row of pixels, or two."""
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
        p, pixels, to = other + x, (own + x, between), (at + x, apart)
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

    A group of lines at a time: a line's sums stay in registers along some rows of the window.
    """
    middle, pitch, height, total = taps.high // 2, grid.pitch, grid.height, source.total
    second = y + taps.down < height
    lowest, highest = -min(middle, y // taps.down), min(middle + 1, (height - 1 - y) // taps.down)
    for group in range(0, total, len(source.group)):
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
                other = _line(grid, row + i * taps.down, total, group)
                own = _line(grid, row if one else row + taps.down, total, group)
                at = (group if one else total + group) * pitch
                _gather_rows(source, other, own, weights, taps, grid, rows, at, one and two, differences, sums)
            i += rows


@njit(nogil=True, cache=True)
def _begin(values, total, grid, row, down, center, acc):
    """Clear the sums of two rows, or begin them with the pixels themselves, which then are their own neighbours."""
    for second in range(2 if center else 0):
        copy_run(acc, second * total * grid.pitch, values, _line(grid, row, total, 0), total * grid.pitch)
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
    _inverse(acc, at + classes * pitch, missing, inverse, factor, width)
    for c in range(classes):
        _times(acc, at + c * pitch, inverse, factor, out, to + c * pitch, width)


@njit(nogil=True, cache=True)
def average(source, weights, taps, grid, center, divisor, target, sums, start, stop):
    """Windows' averages of the source; pairs of rows [start, stop)."""
    total, acc = source.total, sums.acc
    outside, inverse, inverse_at = divisor
    missing = np.zeros(grid.width, source.flat.dtype)
    for item in range(start, stop):
        n, y = _pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        down = taps.down if y + taps.down < grid.height else 0
        _begin(source.flat, total, grid, row, down, center, acc)
        _gather(source, weights, taps, grid, row, y, None, sums)
        for second in range(2 if down else 1):
            here, at = row + second * down, second * total * grid.pitch
            to, factor = _line(grid, here, target.lines, target.first), inverse_at + here * grid.pitch
            position = y + second * down
            _average(acc, at, target.classes, taps, grid, position, outside, missing, inverse, factor, target.flat, to)


@njit(nogil=True, cache=True)
def spread(source, weights, taps, grid, center, out, classes, adds, sums, start, stop):
    """Sums over neighbours of the source, written or added to ``out`` (rows of ``classes`` lines)."""
    total, acc = source.total, sums.acc
    for item in range(start, stop):
        n, y = _pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        down = taps.down if y + taps.down < grid.height else 0
        _begin(source.flat, total, grid, row, down, center, acc)
        _gather(source, weights, taps, grid, row, y, None, sums)
        for second in range(2 if down else 1):
            to = _line(grid, row + second * down, classes, 0)
            at, count = second * total * grid.pitch, classes * grid.pitch
            if adds:
                _plus(acc, at, out, to, out, to, count)
            else:
                copy_run(out, to, acc, at, count)


@njit(nogil=True, cache=True)
def guide_gradient(source, pairs, taps, grid, factor, out, sums, start, stop):
    """``out`` (N, C, H, W): factor times the sum over neighbours of the pair's number times the difference to them."""
    channels, width, flat = out.shape[1], grid.width, out.reshape(-1)
    total, acc = source.total, sums.acc
    for item in range(start, stop):
        n, y = _pair_of_rows(item, grid, taps.down)
        if y >= grid.height:
            continue
        row = n * grid.height + y
        _begin(source.flat, total, grid, row, 0, False, acc)
        _gather(source, pairs, taps, grid, row, y, 1, sums)
        for second in range(2 if y + taps.down < grid.height else 1):
            for c in range(channels):
                to = ((n * channels + c) * grid.height + y + second * taps.down) * width
                _scaled(acc, (second * total + c) * grid.pitch, factor, flat, to, width)


@njit(inline="always")
def _products(x, base, matrix, rows, out, grid):
    """``out`` (lines, pitch): a matrix times the lines of x from ``base`` on."""
    packed, offsets, zeros = matrix
    depth = offsets.size
    for tile in range(-(-rows // ROWS)):
        for first in range(0, grid.width, grid.strip):
            at = min(first, grid.pitch - grid.strip)
            weight, to = tile * depth * ROWS, tile * ROWS * grid.pitch + at
            live_rows.multiply(ROWS, x, base + at, offsets, packed, weight, depth, zeros, 0, out, to, grid.pitch)


@njit(nogil=True, cache=True, fastmath=FAST)
def _highest(q, at, top, count):
    a = np.uint64(at)
    for x in range(np.uint64(count)):
        top[x] = top[x] if q[a + x] <= top[x] else q[a + x]


@njit(nogil=True, cache=True, fastmath=FAST)
def _exponentials_below(q, at, top, total, target, to, count):
    a, b = np.uint64(at), np.uint64(to)
    for x in range(np.uint64(count)):
        value = exp(q[a + x] - top[x])
        target[b + x] = value
        total[x] += value


@njit(nogil=True, cache=True)
def _softmax(q, classes, grid, top, total, none, p, to):
    """Probabilities of one row of pixels from scores (classes, pitch); ``none`` are zeros."""
    width, pitch = grid.width, grid.pitch
    copy_run(top, 0, q, 0, width)
    clear_run(total, 0, width)
    for c in range(1, classes):
        _highest(q, c * pitch, top, width)
    for c in range(classes):
        _exponentials_below(q, c * pitch, top, total, p, to + c * pitch, width)
    _inverse(total, 0, none, top, 0, width)
    for c in range(classes):
        _times(p, to + c * pitch, top, 0, p, to + c * pitch, width)


@njit(nogil=True, cache=True)
def begin(scores, p, lines, grid, q, start, stop):
    """Probabilities from scores (N, C, H, W); rows [start, stop)."""
    classes, width = scores.shape[1], grid.width
    flat = scores.reshape(-1)
    top, total, none = np.empty(width, p.dtype), np.empty(width, p.dtype), np.zeros(width, p.dtype)
    for row in range(start, stop):
        n, y = row // grid.height, row % grid.height
        for c in range(classes):
            copy_run(q, c * grid.pitch, flat, ((n * classes + c) * grid.height + y) * width, width)
        _softmax(q, classes, grid, top, total, none, p, _line(grid, row, lines, 0))


@njit(nogil=True, cache=True)
def update(filtered, matrix, unary, out, p, lines, last, grid, q, start, stop):
    """Scores of an iteration: to ``out`` (N, C, H, W) if it is the last, else to the next probabilities ``p``."""
    classes, width = unary.shape[1], grid.width
    flat, target = unary.reshape(-1), out.reshape(-1)
    top, total, none = np.empty(width, p.dtype), np.empty(width, p.dtype), np.zeros(width, p.dtype)
    for row in range(start, stop):
        n, y = row // grid.height, row % grid.height
        _products(filtered, _line(grid, row, matrix.offsets.size, 0), matrix, classes, q, grid)
        for c in range(classes):
            own = ((n * classes + c) * grid.height + y) * width
            if last:
                _plus(q, c * grid.pitch, flat, own, target, own, width)
            else:
                _plus(q, c * grid.pitch, flat, own, q, c * grid.pitch, width)
        if not last:
            _softmax(q, classes, grid, top, total, none, p, _line(grid, row, lines, 0))


@njit(nogil=True, cache=True)
def _divide_gradient(source, at, inverse, factor, filtered, beside, classes, grid, g, to, dot):
    """The gradient of sums before the division: ``g`` (classes lines), and behind it minus what the divisor gets."""
    pitch, width = grid.pitch, grid.width
    clear_run(dot, 0, width)
    for c in range(classes):
        _times(source, at + c * pitch, inverse, factor, g, to + c * pitch, width)
        _add_times(g, to + c * pitch, filtered, beside + c * pitch, dot, width)
    _scaled(dot, 0, dot.dtype.type(-1), g, to + classes * pitch, width)


@njit(nogil=True, cache=True)
def message_gradient(q_grad, unary_grad, filtered, filtered_lines, matrix, inverse, gradients, sums, grid, start, stop):
    """From an iteration's gradient of q to that of the windows' sums, of the unary scores and of the matrices.

    Parts [start, stop) of all rows; each part has sums of its own: products of the gradients of q (tiles of ROWS) with
    all lines of ``filtered``.
    """
    g, apart, lines = gradients
    num, classes, height, width = q_grad.shape
    pitch, dot = grid.pitch, np.empty(width, q_grad.dtype)
    flat, flat_unary = q_grad.reshape(-1), unary_grad.reshape(-1)
    windows, rows = filtered_lines // classes, num * height
    depth = -(-filtered_lines // STREAMS) * STREAMS
    places = np.empty(depth, np.int64)
    tiles = -(-classes // ROWS)
    length = -(-width // grid.length) * grid.length
    scores = np.zeros(-(-classes // ROWS) * ROWS * pitch, q_grad.dtype)
    messages = np.zeros(-(-filtered_lines // ROWS) * ROWS * pitch, q_grad.dtype)
    for part in range(start, stop):
        for row in range(rows * part // PARTS, rows * (part + 1) // PARTS):
            n, y = row // height, row % height
            for c in range(classes):
                own = ((n * classes + c) * height + y) * width
                copy_run(scores, c * pitch, flat, own, width)
                _plus(flat, own, flat_unary, own, flat_unary, own, width)
            _products(scores, 0, matrix, windows * classes, messages, grid)
            base = _line(grid, row, filtered_lines, 0)
            for w in range(windows):
                factor, at = (w * rows + row) * pitch, w * classes * pitch
                to = w * apart + _line(grid, row, lines, 0)
                _divide_gradient(messages, at, inverse, factor, filtered, base + at, classes, grid, g, to, dot)
            for k in range(depth):
                places[k] = base + min(k, filtered_lines - 1) * pitch
            for tile in range(tiles):
                for k in range(0, depth, STREAMS):
                    at = ((part * tiles + tile) * depth + k) * ROWS
                    grads = scores[tile * ROWS * pitch :]
                    live_rows.correlate(ROWS, grads, pitch, filtered, 0, places, k, length, sums, at)


@njit(nogil=True, cache=True, fastmath=FAST)
def _pulled(grad, at, dot, p, beside, target, to, count):
    a, b, c = np.uint64(at), np.uint64(beside), np.uint64(to)
    for x in range(np.uint64(count)):
        target[c + x] = p[b + x] * (grad[a + x] - dot[x])


@njit(nogil=True, cache=True)
def softmax_gradient(p_grad, p, lines, grid, q_grad, start, stop):
    """``q_grad`` (N, C, H, W) from the gradient of probabilities (rows of C lines); rows [start, stop)."""
    _, classes, height, width = q_grad.shape
    dot, flat = np.empty(width, p.dtype), q_grad.reshape(-1)
    for row in range(start, stop):
        n, y = row // height, row % height
        clear_run(dot, 0, width)
        for c in range(classes):
            _add_times(p_grad, _line(grid, row, classes, c), p, _line(grid, row, lines, c), dot, width)
        for c in range(classes):
            to = ((n * classes + c) * height + y) * width
            _pulled(p_grad, _line(grid, row, classes, c), dot, p, _line(grid, row, lines, c), flat, to, width)
