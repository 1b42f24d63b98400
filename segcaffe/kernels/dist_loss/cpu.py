"""DistLoss on the CPU: one pass each way, nothing kept in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import SUMS, njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_GRAIN = 50_000
_BLOCK = 16_384
"""Entries summed by themselves: a fixed number, so that the sum does not depend on the threads."""
_NO_LABEL = -(2**31) + 1


def forward(dist: Array, parity: Array, loss: Array, alpha: float, beta: float, ignore_label: int | None) -> None:
    """Sum blocks of entries on the threads, then the blocks in order, all in float64."""
    count = dist.size
    sums = np.zeros((count + _BLOCK - 1) // _BLOCK)
    values, labels = dist.reshape(-1), parity.reshape(-1)
    margins = dist.dtype.type(alpha), dist.dtype.type(beta)
    ignored = np.int32(_NO_LABEL if ignore_label is None else ignore_label)
    parallel.run(
        sums.size,
        lambda start, stop: _forward(values, labels, *margins, ignored, sums, start, stop),
        _GRAIN // _BLOCK,
    )
    loss[...] = sums.sum() / max(count, 1)


def backward(
    dist: Array, parity: Array, loss_grad: Array, dist_grad: Array, alpha: float, beta: float, ignore_label: int | None
) -> None:
    """Divide the entries among threads."""
    values, labels, out = dist.reshape(-1), parity.reshape(-1), dist_grad.reshape(-1)
    margins = dist.dtype.type(alpha), dist.dtype.type(beta)
    ignored = np.int32(_NO_LABEL if ignore_label is None else ignore_label)
    scale = dist.dtype.type(float(loss_grad) / max(dist.size, 1))
    parallel.run(
        out.size,
        lambda start, stop: _backward(values, labels, *margins, ignored, scale, out, start, stop),
        _GRAIN,
    )


@njit(nogil=True, cache=True)
def _hinge(dist, label, alpha, beta, ignored):
    hinge = beta - dist if label == 0 else dist - alpha
    zero = dist * 0
    return zero if label == ignored or hinge < 0 else hinge


@njit(nogil=True, cache=True, fastmath=SUMS)
def _sum(dist, parity, alpha, beta, ignored):
    total = 0.0
    for i in range(dist.size):
        total += _hinge(dist[i], np.int32(parity[i]), alpha, beta, ignored)
    return total


@njit(nogil=True, cache=True)
def _forward(dist, parity, alpha, beta, ignored, sums, start, stop):
    for block in range(start, stop):
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        sums[block] = _sum(dist[part], parity[part], alpha, beta, ignored)


@njit(nogil=True, cache=True)
def _backward(dist, parity, alpha, beta, ignored, scale, out, start, stop):
    d, p, g = dist[start:stop], parity[start:stop], out[start:stop]
    for i in range(d.size):
        label = np.int32(p[i])
        g[i] = _hinge(d[i], label, alpha, beta, ignored) * (-scale if label == 0 else scale)
