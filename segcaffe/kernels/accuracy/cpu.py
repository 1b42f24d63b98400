"""Counting hits on the CPU, each thread in counters of its own."""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import njit
from segcaffe.kernels.softmax_loss.cpu import class_of
from segcaffe.threads import parallel

_PARTS = 16
_SMALL = 16384  # elements


@njit(nogil=True, cache=True)
def _count(x, label, top_k, ignore, counts, bad, start, stop):
    classes, inner = x.shape[1], x.shape[2]
    for u in range(start, stop):
        n, i = u // inner, u % inner
        k = class_of(label[n, i], classes, ignore)
        if k == -2:
            bad[0] = u
        if k < 0:
            continue
        # The true class is as good as itself.
        better = -1
        for c in range(classes):
            better += x[n, c, i] >= x[n, k, i]
        # NaN is as good as nothing, not even itself: it is never a hit.
        counts[0, k] += 0 <= better < top_k
        counts[1, k] += 1


def count(x: Array, label: Array, top_k: int, ignore: int, counts: Array, bad: Array) -> None:
    units = label.size
    parts = max(1, min(_PARTS, units * x.shape[1] // _SMALL))
    mine, found = np.zeros((parts, *counts.shape), np.int64), np.full((parts, 1), -1, np.int64)

    def body(start: int, stop: int) -> None:
        for part in range(start, stop):
            first, last = units * part // parts, units * (part + 1) // parts
            _count(x, label, top_k, ignore, mine[part], found[part], first, last)

    parallel.run(parts, body)
    mine.sum(axis=0, out=counts)
    bad[0] = found.max()
