"""What happens at each pixel between two filters: classes are mixed, scores become probabilities; and the gradients."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import FAST, njit
from segcaffe.kernels.vector import rows as live_rows
from segcaffe.kernels.vector.tile import ROWS, STREAMS, clear_run, copy_run
from segcaffe.kernels.vector.vector_math import exp
from segcaffe.kernels.window_meanfield.layout import PARTS, line_at
from segcaffe.kernels.window_meanfield.runs import add_times, inverse_of, plus, scaled, times


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
    inverse_of(total, 0, none, top, 0, width)
    for c in range(classes):
        times(p, to + c * pitch, top, 0, p, to + c * pitch, width)


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
        _softmax(q, classes, grid, top, total, none, p, line_at(grid, row, lines, 0))


@njit(nogil=True, cache=True)
def update(filtered, matrix, unary, out, p, lines, last, grid, q, start, stop):
    """Scores of an iteration: to ``out`` (N, C, H, W) if it is the last, else to the next probabilities ``p``."""
    classes, width = unary.shape[1], grid.width
    flat, target = unary.reshape(-1), out.reshape(-1)
    top, total, none = np.empty(width, p.dtype), np.empty(width, p.dtype), np.zeros(width, p.dtype)
    for row in range(start, stop):
        n, y = row // grid.height, row % grid.height
        _products(filtered, line_at(grid, row, matrix.offsets.size, 0), matrix, classes, q, grid)
        for c in range(classes):
            own = ((n * classes + c) * grid.height + y) * width
            if last:
                plus(q, c * grid.pitch, flat, own, target, own, width)
            else:
                plus(q, c * grid.pitch, flat, own, q, c * grid.pitch, width)
        if not last:
            _softmax(q, classes, grid, top, total, none, p, line_at(grid, row, lines, 0))


@njit(nogil=True, cache=True)
def _divide_gradient(source, at, inverse, factor, filtered, beside, classes, grid, g, to, dot):
    """The gradient of sums before the division: ``g`` (classes lines), and behind it minus what the divisor gets."""
    pitch, width = grid.pitch, grid.width
    clear_run(dot, 0, width)
    for c in range(classes):
        times(source, at + c * pitch, inverse, factor, g, to + c * pitch, width)
        add_times(g, to + c * pitch, filtered, beside + c * pitch, dot, width)
    scaled(dot, 0, dot.dtype.type(-1), g, to + classes * pitch, width)


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
                plus(flat, own, flat_unary, own, flat_unary, own, width)
            _products(scores, 0, matrix, windows * classes, messages, grid)
            base = line_at(grid, row, filtered_lines, 0)
            for w in range(windows):
                factor, at = (w * rows + row) * pitch, w * classes * pitch
                to = w * apart + line_at(grid, row, lines, 0)
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
            add_times(p_grad, line_at(grid, row, classes, c), p, line_at(grid, row, lines, c), dot, width)
        for c in range(classes):
            to = ((n * classes + c) * height + y) * width
            _pulled(p_grad, line_at(grid, row, classes, c), dot, p, line_at(grid, row, lines, c), flat, to, width)
