"""Softmax with log loss on the CPU: each block of columns is finished while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import njit
from segcaffe.kernels.softmax.cpu import BLOCK, blocks_of, grain_of, softmax_block, softmax_row
from segcaffe.threads import parallel

_PARTS = 16
NO_CLASS = -2


@njit(nogil=True, cache=True)
def class_of(label, classes, ignore):
    """The class number of a label, -1 where it is ignored, -2 where it is no class."""
    if not -2147483648.0 < label < 2147483648.0:
        return NO_CLASS
    number = int(label)
    if number == ignore:
        return -1
    return number if 0 <= number < classes else NO_CLASS


@njit(nogil=True, cache=True)
def _forward(x, label, weight, ignore, floor, prob, sums, start, stop):
    classes, inner = x.shape[1], x.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    top, total = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
    loss, weights, product, bad = 0.0, 0.0, 1.0, -1
    for u in range(start, stop):
        n, first = u // blocks, (u % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        if inner == 1:
            softmax_row(x[n].reshape(classes), prob[n].reshape(classes))
        else:
            softmax_block(x[n], prob[n], first, last, top, total)
        for i in range(first, last):
            k = class_of(label[n, i], classes, ignore)
            if k == NO_CLASS:
                bad = n * inner + i
            elif k >= 0:
                p = prob[n, k, i]
                # Written so that a NaN stays one.
                p = floor if p < floor else p
                weights += weight[k]
                if weight[k] != 1:
                    loss -= weight[k] * math.log(p)
                    continue
                # One logarithm for many factors, well before the product leaves the range of float64.
                product *= p
                if product < 1e-200:
                    loss -= math.log(product)
                    product = 1.0
    sums[0], sums[1], sums[2] = loss - math.log(product), weights, bad


@njit(nogil=True, cache=True)
def _backward(prob, label, weight, ignore, scale, out, start, stop):
    classes, inner = prob.shape[1], prob.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    factor = np.empty(BLOCK, prob.dtype)
    for u in range(start, stop):
        n, first = u // blocks, (u % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        for i in range(first, last):
            k = class_of(label[n, i], classes, ignore)
            factor[i - first] = scale * weight[k] if k >= 0 else 0
        for c in range(classes):
            p, to = prob[n, c, first:last], out[n, c, first:last]
            for i in range(last - first):
                to[i] = p[i] * factor[i]
        for i in range(first, last):
            k = class_of(label[n, i], classes, ignore)
            if k >= 0:
                out[n, k, i] -= factor[i - first]


def forward(x: Array, label: Array, weight: Array, ignore: int, floor: float, prob: Array, totals: Array) -> None:
    units = x.shape[0] * blocks_of(x.shape[2])
    parts = max(1, min(_PARTS, units // grain_of(*x.shape[1:])))
    sums = np.zeros((parts, 3))

    def body(start: int, stop: int) -> None:
        for part in range(start, stop):
            first, last = units * part // parts, units * (part + 1) // parts
            _forward(x, label, weight, ignore, floor, prob, sums[part], first, last)

    parallel.run(parts, body)
    totals[:2] = sums[:, :2].sum(axis=0)
    totals[2] = sums[:, 2].max()


def backward(prob: Array, label: Array, weight: Array, ignore: int, scale: float, out: Array) -> None:
    units = prob.shape[0] * blocks_of(prob.shape[2])

    def body(start: int, stop: int) -> None:
        _backward(prob, label, weight, ignore, scale, out, start, stop)

    parallel.run(units, body, grain=grain_of(*prob.shape[1:]))
