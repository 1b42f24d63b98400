"""Confusion matrix on the CPU, each part of the pixels in a matrix of its own."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import njit
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.kernels.softmax_loss.cpu import class_of
from segcaffe.threads import parallel

_BLOCK = 256
_PARTS = 8
_SMALL = 16384  # elements


@njit(nogil=True, cache=True)
def _count(x, label, ignore, counts, bad, start, stop):
    classes, inner = x.shape[1], x.shape[2]
    blocks = (inner + _BLOCK - 1) // _BLOCK
    best, value = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, x.dtype)
    for u in range(start, stop):
        n, first = u // blocks, (u % blocks) * _BLOCK
        width = min(inner - first, _BLOCK)
        best[:] = 0
        value[:width] = x[n, 0, first : first + width]
        for c in range(1, classes):
            row = x[n, c, first : first + width]
            for i in range(width):
                better = row[i] >= value[i]
                best[i] = c if better else best[i]
                value[i] = row[i] if better else value[i]
        for i in range(width):
            k = class_of(label[n, first + i], classes, NO_IGNORE)
            known = True
            for j in range(ignore.size):
                known = known and int(label[n, first + i]) != ignore[j]
            if known and k < 0:
                bad[0] = n * inner + first + i
            elif known:
                counts[k, best[i]] += 1


def count(x: Array, label: Array, ignore: Array, counts: Array, bad: Array) -> None:
    units = x.shape[0] * -(-x.shape[2] // _BLOCK)
    parts = max(1, min(_PARTS, units * x.shape[1] * _BLOCK // _SMALL))
    mine, found = np.zeros((parts, *counts.shape), np.int64), np.full((parts, 1), -1, np.int64)

    def body(start: int, stop: int) -> None:
        for part in range(start, stop):
            _count(x, label, ignore, mine[part], found[part], units * part // parts, units * (part + 1) // parts)

    parallel.run(parts, body)
    mine.sum(axis=0, out=counts)
    bad[0] = found.max()
