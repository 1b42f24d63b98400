"""Statistics of channels on the CPU: sums of short runs, added in float64 in a fixed order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import CONTRACT, SUMS_OF_ANY_ZERO, njit
from segcaffe.threads import calls, parallel

_PIECE = 1 << 15
"""Elements of a row that are summed together."""
_RUN = 256
"""Elements summed in the dtype of the array, in SIMD lanes, before they are added to a float64."""
_SMALL = 16384


@njit(nogil=True, cache=True, fastmath=SUMS_OF_ANY_ZERO)
def _sums(x, mean, scale, grad, sums, start, stop):
    """Sums of grad and of grad * (x - mean) * scale over pieces start..stop of the rows."""
    channels, length = x.shape[1], x.shape[2]
    pieces, zero = sums.shape[2], x.dtype.type(0)
    for u in range(start, stop):
        row, piece = u // pieces, u % pieces
        n, c = row // channels, row % channels
        first, last = piece * _PIECE, min(length, (piece + 1) * _PIECE)
        m = x.dtype.type(mean[c])
        a, b = 0.0, 0.0
        for at in range(first, last, _RUN):
            values, slopes = x[n, c, at : min(last, at + _RUN)], grad[n, c, at : min(last, at + _RUN)]
            run_a, run_b = zero, zero
            for i in range(values.size):
                run_a += slopes[i]
                run_b += slopes[i] * (values[i] - m)
            a += run_a
            b += run_b
        # What rounding the mean to the dtype of x added.
        sums[n, c, piece, 0], sums[n, c, piece, 1] = a, (b + a * (m - mean[c])) * scale[c]


@njit(nogil=True, cache=True, fastmath=SUMS_OF_ANY_ZERO)
def _powers(x, guess, sums, start, stop):
    """Sums of x - guess and of its square over pieces start..stop of the rows."""
    channels, length = x.shape[1], x.shape[2]
    pieces, zero = sums.shape[2], x.dtype.type(0)
    for u in range(start, stop):
        row, piece = u // pieces, u % pieces
        n, c = row // channels, row % channels
        first, last = piece * _PIECE, min(length, (piece + 1) * _PIECE)
        m = x.dtype.type(guess[c])
        a, b = 0.0, 0.0
        for at in range(first, last, _RUN):
            values = x[n, c, at : min(last, at + _RUN)]
            run_a, run_b = zero, zero
            for i in range(values.size):
                d = values[i] - m
                run_a += d
                run_b += d * d
            a += run_a
            b += run_b
        sums[n, c, piece, 0], sums[n, c, piece, 1] = a, b


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _normalize(x, mean, scale, out, start, stop):
    channels = x.shape[1]
    for row in range(start, stop):
        n, c = row // channels, row % channels
        values, to = x[n, c], out[n, c]
        m, s = x.dtype.type(mean[c]), x.dtype.type(scale[c])
        for i in range(values.size):
            to[i] = (values[i] - m) * s


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _backward(x, mean, scale, grad, average, out, start, stop):
    channels = x.shape[1]
    for row in range(start, stop):
        n, c = row // channels, row % channels
        values, slopes, to = x[n, c], grad[n, c], out[n, c]
        m, s = x.dtype.type(mean[c]), x.dtype.type(scale[c])
        slope, along = x.dtype.type(average[c, 0]), x.dtype.type(average[c, 1] * scale[c])
        for i in range(values.size):
            to[i] = s * (slopes[i] - slope - (values[i] - m) * along)


def _average(x: Array, add: Callable[[Array, int, int], None]) -> Array:
    """Means over each channel (C, 2) of what ``add(sums, start, stop)`` sums over pieces of rows."""
    num, channels, length = x.shape
    pieces = -(-length // _PIECE)
    sums = np.zeros((num, channels, pieces, 2))
    grain = max(1, _SMALL // max(1, min(length, _PIECE)))
    parallel.run(num * channels * pieces, lambda start, stop: add(sums, start, stop), grain=grain)
    average: Array = sums.sum(axis=(0, 2)) / max(1, num * length)
    return average


def _grain(x: Array) -> int:
    return max(1, _SMALL // max(1, int(x.shape[2])))


def moments(x: Array, mean: Array, variance: Array) -> None:
    # About a first guess of the mean, so that the squares do not drown in it.
    guess = x[0, :, 0].astype(np.float64) if x.size else np.zeros(x.shape[1])
    average = _average(x, lambda sums, start, stop: _powers(x, guess, sums, start, stop))
    mean[...] = guess + average[:, 0]
    variance[...] = np.maximum(average[:, 1] - average[:, 0] ** 2, 0)


def normalize(x: Array, mean: Array, scale: Array, out: Array) -> None:
    rows = x.shape[0] * x.shape[1]
    calls.run(rows, lambda start, stop: ((_normalize, (x, mean, scale, out, start, stop)),), grain=_grain(x))


def backward(x: Array, mean: Array, scale: Array, grad: Array, out: Array) -> None:
    average = _average(x, lambda sums, start, stop: _sums(x, mean, scale, grad, sums, start, stop))
    rows = x.shape[0] * x.shape[1]
    parallel.run(rows, lambda start, stop: _backward(x, mean, scale, grad, average, out, start, stop), grain=_grain(x))
