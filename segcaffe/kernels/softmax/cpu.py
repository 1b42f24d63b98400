"""Softmax on the CPU: blocks of neighbouring columns that stay in the cache, or single rows where inner is 1."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import SUMS_OF_ANY_ZERO, njit
from segcaffe.kernels.vector.vector_math import exp
from segcaffe.threads import calls

BLOCK = 256
"""Columns computed together: a block of 21 classes takes 21 KiB."""
_SMALL = 16384  # elements


def blocks_of(inner: int) -> int:
    """Into how many blocks ``inner`` columns are divided."""
    return -(-inner // BLOCK)


def grain_of(classes: int, inner: int) -> int:
    """How many blocks (or rows) are worth a thread of their own."""
    return max(1, _SMALL // max(1, classes * min(inner, BLOCK)))


@njit(nogil=True, cache=True, error_model="numpy")
def softmax_block(x, out, first, last, top, total):
    """Softmax of the columns first..last of ``x`` (C, inner); ``top`` and ``total`` are scratch of that width."""
    width = last - first
    # Loops, not slices: of a slice's assignment Numba compiles the error message, too, for longer than all the rest.
    for i in range(width):
        top[i] = x[0, first + i]
        total[i] = 0
    for c in range(1, x.shape[0]):
        row = x[c, first:last]
        for i in range(width):
            # The negated comparison lets a NaN through.
            top[i] = top[i] if row[i] <= top[i] else row[i]
    for c in range(x.shape[0]):
        row, to = x[c, first:last], out[c, first:last]
        for i in range(width):
            e = exp(row[i] - top[i])
            to[i] = e
            total[i] += e
    for i in range(width):
        total[i] = 1 / total[i]
    for c in range(x.shape[0]):
        to = out[c, first:last]
        for i in range(width):
            to[i] *= total[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=SUMS_OF_ANY_ZERO)
def softmax_row(x, out):
    """Softmax of one row."""
    top = x[0]
    for i in range(x.size):
        top = top if x[i] <= top else x[i]
    total = x.dtype.type(0)
    for i in range(x.size):
        out[i] = exp(x[i] - top)
    # A loop of its own: one that also stores has a vectorised form that runs only where x and out are not close, and
    # that adds in another order.
    for i in range(out.size):
        total += out[i]
    scale = 1 / total
    for i in range(x.size):
        out[i] *= scale


@njit(nogil=True, cache=True)
def _forward_rows(x, out, start, stop):
    for n in range(start, stop):
        softmax_row(x[n], out[n])


@njit(nogil=True, cache=True)
def _forward(x, out, start, stop):
    inner = x.shape[2]
    top, total = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
    blocks = (inner + BLOCK - 1) // BLOCK
    for u in range(start, stop):
        n, b = u // blocks, u % blocks
        softmax_block(x[n], out[n], b * BLOCK, min(inner, (b + 1) * BLOCK), top, total)


@njit(nogil=True, cache=True, fastmath=SUMS_OF_ANY_ZERO)
def _backward(prob, grad, out, start, stop):
    classes, inner = prob.shape[1], prob.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    total = np.empty(BLOCK, prob.dtype)
    for u in range(start, stop):
        n, first = u // blocks, (u % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        total[:] = 0
        for c in range(classes):
            p, g = prob[n, c, first:last], grad[n, c, first:last]
            for i in range(last - first):
                total[i] += p[i] * g[i]
        for c in range(classes):
            p, g, to = prob[n, c, first:last], grad[n, c, first:last], out[n, c, first:last]
            for i in range(last - first):
                to[i] = p[i] * (g[i] - total[i])


def forward(x: Array, out: Array) -> None:
    units, grain = x.shape[0] * blocks_of(x.shape[2]), grain_of(*x.shape[1:])
    # Apart, since most nets need one of the two, and each takes long to compile.
    function, values, results = (_forward_rows, x[:, :, 0], out[:, :, 0]) if x.shape[2] == 1 else (_forward, x, out)
    calls.run(units, lambda start, stop: ((function, (values, results, start, stop)),), grain=grain)


def backward(prob: Array, grad: Array, out: Array) -> None:
    units = prob.shape[0] * blocks_of(prob.shape[2])
    calls.run(
        units, lambda start, stop: ((_backward, (prob, grad, out, start, stop)),), grain=grain_of(*prob.shape[1:])
    )
