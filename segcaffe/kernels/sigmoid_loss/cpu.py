"""Sigmoid cross entropy on the CPU."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import CONTRACT, SUMS_OF_ANY_ZERO, njit
from segcaffe.kernels.vector.vector_math import exp, sigmoid
from segcaffe.threads import parallel

_BLOCK = 256
_PARTS = 16
_SMALL = 16384


@njit(nogil=True, cache=True, fastmath=SUMS_OF_ANY_ZERO)
def _forward(x, target, ignore, sums, start, stop):
    loss, count = 0.0, 0
    for first in range(start, stop, _BLOCK):
        # Each factor lies in [1, 2], so one logarithm serves for a whole block.
        product = 1.0
        for i in range(first, min(stop, first + _BLOCK)):
            counts = int(target[i]) != ignore
            linear = max(x[i], 0) - x[i] * target[i]
            loss += linear if counts else 0
            product *= 1 + exp(-abs(x[i])) if counts else 1
            count += counts
        loss += math.log(product)
    sums[0], sums[1] = loss, count


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _backward(x, target, ignore, scale, out, start, stop):
    factor = x.dtype.type(scale)
    for i in range(start, stop):
        out[i] = (sigmoid(x[i]) - target[i]) * factor if int(target[i]) != ignore else 0


def forward(x: Array, target: Array, ignore: int, totals: Array) -> None:
    parts = max(1, min(_PARTS, x.size // _SMALL))
    sums = np.zeros((parts, 2))

    def body(start: int, stop: int) -> None:
        for part in range(start, stop):
            _forward(x, target, ignore, sums[part], x.size * part // parts, x.size * (part + 1) // parts)

    parallel.run(parts, body)
    sums.sum(axis=0, out=totals)


def backward(x: Array, target: Array, ignore: int, scale: float, out: Array) -> None:
    parallel.run(x.size, lambda start, stop: _backward(x, target, ignore, scale, out, start, stop), grain=_SMALL)
