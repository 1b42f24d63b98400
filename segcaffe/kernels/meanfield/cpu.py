"""Filtering classes with given weights on the CPU, vectorised along rows of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from segcaffe.kernels import parallel
from segcaffe.kernels.norm_conv.cpu import FAST, geometry_of, inside, tap_offset
from segcaffe.proto.window import Window

Array = np.ndarray[Any, Any]


def filter_classes(values: Array, weights: Array, out: Array, window: Window, transposed: bool) -> None:
    """See the contract."""
    geometry = geometry_of(window)
    rows = out.shape[0] * out.shape[2]
    parallel.run(rows, lambda a, b: _filter(values, weights, out, geometry, transposed, a, b), grain=4)


def add_weight_grad(values: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    """See the contract."""
    geometry = geometry_of(window)
    rows = values.shape[0] * values.shape[2]
    parallel.run(rows, lambda a, b: _add_weight_grad(values, out_grad, weight_grad, geometry, a, b), grain=4)


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
