"""Filtering classes with given weights on the CPU, vectorised along rows of pixels.

Images at least as wide as a vector register is long are copied to rows with margins and go through `stencil`, where
sums stay in registers; narrower ones through plain loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import FAST, njit
from segcaffe.kernels.norm_conv.cpu import geometry_of, inside, tap_offset
from segcaffe.kernels.vector.stencil import MANY_ROWS, OFFSETS, Rows, compare_products, gather_1, gather_7, run_length
from segcaffe.kernels.vector.tile import clear_run
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]


def filter_classes(values: Array, weights: Array, out: Array, window: Window, transposed: bool) -> None:
    geometry = geometry_of(window)
    count = out.shape[0] * out.shape[2]
    if not _is_wide(out):
        parallel.run(count, lambda a, b: _filter(values, weights, out, geometry, transposed, a, b), grain=4)
        return
    rows = Rows.of(values, _reach(window), "meanfield_rows")
    layout = rows.margin, rows.pitch, run_length(values.dtype)
    parallel.run(count, lambda a, b: _filter_runs(rows.flat, weights, out, geometry, layout, transposed, a, b), grain=2)


def add_weight_grad(values: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    geometry = geometry_of(window)
    count = values.shape[0] * values.shape[2]
    if not _is_wide(values):
        parallel.run(count, lambda a, b: _add_weight_grad(values, out_grad, weight_grad, geometry, a, b), grain=4)
        return
    rows = Rows.of(values, _reach(window), "meanfield_rows")
    layout = rows.margin, rows.pitch, run_length(values.dtype)
    parallel.run(
        count, lambda a, b: _add_weight_grad_runs(rows.flat, out_grad, weight_grad, geometry, layout, a, b), grain=2
    )


def _is_wide(image: Array) -> bool:
    return bool(image.shape[3] >= run_length(image.dtype))


def _reach(window: Window) -> int:
    """How many columns a tap lies away from its window's position, at most."""
    last = (window.kernel[1] - 1) * window.dilation[1] - window.pad[1]
    return max(abs(window.pad[1]), abs(last))


@njit(nogil=True, cache=True)
def _filter_runs(flat, weights, out, geometry, layout, transposed, start, stop):
    """`_filter` for wide images, whose values lie in ``flat`` with margins."""
    margin, pitch, length = layout
    channels, columns = out.shape[1], out.shape[3]
    taps, height = weights.shape[1:3]
    flat_weights, flat_out = weights.reshape(-1), out.reshape(-1)
    plane = height * columns
    offsets, places = np.empty(taps, np.int64), np.empty(taps, np.int64)
    loose, shifts = np.empty(taps, np.int64), np.empty(taps, np.int64)
    # Of taps whose neighbours' row is in the image: the number, columns to the neighbour, and the place for x = 0.
    near = np.empty((taps, 3), np.int64)
    sign = -1 if transposed else 1
    for index in range(start, stop):
        n, y = index // height, index % height
        rows = 0
        for tap in range(taps):
            ty, tx = tap_offset(geometry, tap)
            dy, dx = sign * ty, sign * tx
            if 0 <= y + dy < height:
                place = (n * taps + tap) * plane + (y + dy if transposed else y) * columns
                near[rows, 0], near[rows, 1], near[rows, 2] = tap, dx, place + (dx if transposed else 0)
                shifts[rows] = dy * channels * pitch + dx
                rows += 1
        for run in range(-(-columns // length)):
            x = min(run * length, columns - length)
            count, alone = 0, 0
            for k in range(rows):
                dx, place = near[k, 1], near[k, 2]
                if x + dx >= columns or x + length + dx <= 0:
                    continue
                if place + x < 0 or place + x + length > flat_weights.size:
                    # A run that begins before the weights or ends behind them.
                    loose[alone] = near[k, 0]
                    alone += 1
                    continue
                places[count], offsets[count] = place, shifts[k]
                count += 1
            base, target = index * channels * pitch + margin + x, (n * channels * height + y) * columns + x
            sizes = pitch, plane, channels, length
            _filter_run(flat, base, offsets, flat_weights, x, places, count, flat_out, target, sizes)
            for k in range(alone):
                ty, tx = tap_offset(geometry, loose[k])
                for i in range(max(0, tx - x), min(length, columns + tx - x)):
                    weight = weights[n, loose[k], y - ty, x + i - tx]
                    for c in range(channels):
                        source = base + c * pitch - ty * channels * pitch - tx + i
                        flat_out[target + c * plane + i] += weight * flat[source]


@njit(nogil=True, cache=True)
def _filter_run(flat, base, offsets, weights, x, places, count, out, target, sizes):
    """One run of pixels, all channels; the last few together with some that are done already."""
    pitch, plane, channels, length = sizes
    if count == 0:
        for c in range(channels):
            clear_run(out, target + c * plane, length)
    elif channels >= MANY_ROWS:
        for group in range(-(-channels // MANY_ROWS)):
            c = min(group * MANY_ROWS, channels - MANY_ROWS)
            at, to = base + c * pitch, target + c * plane
            gather_7(flat, at, pitch, offsets, weights, x, places, count, out, to, plane)
    else:
        for c in range(channels):
            at, to = base + c * pitch, target + c * plane
            gather_1(flat, at, pitch, offsets, weights, x, places, count, out, to, plane)


@njit(nogil=True, cache=True)
def _add_weight_grad_runs(flat, out_grad, weight_grad, geometry, layout, start, stop):
    """`_add_weight_grad` for wide images, whose values lie in ``flat`` with margins."""
    margin, pitch, length = layout
    channels = out_grad.shape[1]
    taps, height, columns = weight_grad.shape[1:]
    flat_grad = out_grad.reshape(-1)
    chosen, offsets = np.empty(taps, np.int64), np.empty(taps + OFFSETS, np.int64)
    sums = np.empty(OFFSETS * columns, out_grad.dtype)
    for index in range(start, stop):
        n, y = index // height, index % height
        count = 0
        for tap in range(taps):
            ty, tx = tap_offset(geometry, tap)
            if 0 <= y + ty < height and -columns < tx < columns:
                chosen[count], offsets[count] = tap, ty * channels * pitch + tx
                count += 1
        offsets[count : count + OFFSETS] = 0
        base, own = index * channels * pitch + margin, (n * channels * height + y) * columns
        for k in range(0, count, OFFSETS):
            for run in range(-(-columns // length)):
                x = min(run * length, columns - length)
                compare_products(
                    flat_grad, own + x, height * columns, flat, base + x, pitch, offsets, k, channels, sums, x, columns
                )
            for j in range(min(OFFSETS, count - k)):
                tap = chosen[k + j]
                _, tx = tap_offset(geometry, tap)
                target = weight_grad[n, tap, y]
                for i in range(max(0, -tx), min(columns, columns - tx)):
                    target[i] += sums[j * columns + i]


@njit(nogil=True, cache=True, fastmath=FAST)
def _filter(values, weights, out, geometry, transposed, start, stop):
    """Rows start..stop of the output, counted over all images.

    Forward, output row y takes tap t's weights from row y and its values from the neighbour's row; transposed, both
    come from the row whose neighbour is y.
    """
    taps, rows, columns = weights.shape[1:]
    for index in range(start, stop):
        n, y = index // rows, index % rows
        for c in range(values.shape[1]):
            out[n, c, y] = 0
            for tap in range(taps):
                ty, tx = tap_offset(geometry, tap)
                vy = y - ty if transposed else y + ty
                first, last = inside(columns, columns, 1, tx)
                if vy < 0 or vy >= rows or first >= last:
                    continue
                if transposed:
                    w, v = weights[n, tap, vy, first:last], values[n, c, vy, first:last]
                    target = out[n, c, y, tx + first : tx + last]
                else:
                    w, v = weights[n, tap, y, first:last], values[n, c, vy, tx + first : tx + last]
                    target = out[n, c, y, first:last]
                for i in range(len(target)):
                    target[i] += w[i] * v[i]


@njit(nogil=True, cache=True, fastmath=FAST)
def _add_weight_grad(values, out_grad, weight_grad, geometry, start, stop):
    taps, rows, columns = weight_grad.shape[1:]
    channels = values.shape[1]
    for index in range(start, stop):
        n, y = index // rows, index % rows
        for tap in range(taps):
            ty, tx = tap_offset(geometry, tap)
            ny = y + ty
            first, last = inside(columns, columns, 1, tx)
            if ny < 0 or ny >= rows or first >= last:
                continue
            target = weight_grad[n, tap, y, first:last]
            c = 0
            while c + 3 <= channels:
                a, g = values[n, c, ny, tx + first : tx + last], out_grad[n, c, y, first:last]
                a1, g1 = values[n, c + 1, ny, tx + first : tx + last], out_grad[n, c + 1, y, first:last]
                a2, g2 = values[n, c + 2, ny, tx + first : tx + last], out_grad[n, c + 2, y, first:last]
                for i in range(len(target)):
                    target[i] += a[i] * g[i] + a1[i] * g1[i] + a2[i] * g2[i]
                c += 3
            while c < channels:
                a, g = values[n, c, ny, tx + first : tx + last], out_grad[n, c, y, first:last]
                for i in range(len(target)):
                    target[i] += a[i] * g[i]
                c += 1
