"""CTC on the CPU: items are divided among threads; sums of probabilities run over logarithms in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 2_000
"""Scores worth a thread of their own."""
_compiled = njit(nogil=True, cache=True)


def forward(scores: Array, labels: Array, lengths: Array, blank: int, merges: bool, losses: Array, grad: Array) -> None:
    steps, items, classes = scores.shape
    body = lambda start, stop: _forward(scores, labels, lengths, blank, merges, losses, grad, start, stop)  # noqa: E731
    parallel.run(items, body, max(1, _GRAIN // max(1, steps * classes)))


@_compiled
def _add(a, b):
    """The logarithm of the sum of two numbers, from theirs."""
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@_compiled
def _log_softmax(scores, out):
    largest = scores[0]
    for c in range(scores.size):
        largest = max(largest, scores[c])
    total = 0.0
    for c in range(scores.size):
        total += np.exp(np.float64(scores[c]) - largest)
    shift = largest + np.log(total)
    for c in range(scores.size):
        out[c] = scores[c] - shift


@_compiled
def _paths(logs, path, blank, merges, out):
    """For each step and place in the path the logarithm of the probability to get there from the start."""
    out[:] = -np.inf
    out[0, 0] = logs[0, blank]
    if path.size > 1:
        out[0, 1] = logs[0, path[1]]
    for t in range(1, len(logs)):
        for u in range(path.size):
            label = path[u]
            total = out[t - 1, u] if merges or label == blank else -np.inf
            if u > 0:
                total = _add(total, out[t - 1, u - 1])
            if u > 1 and label != blank and not (merges and label == path[u - 2]):
                total = _add(total, out[t - 1, u - 2])
            out[t, u] = total + logs[t, label]


@_compiled
def _forward(scores, labels, lengths, blank, merges, losses, grad, start, stop):
    classes = scores.shape[2]
    for n in range(start, stop):
        steps, count = lengths[0, n], lengths[1, n]
        grad[:, n] = 0
        losses[n] = 0
        if steps == 0:
            continue
        logs = np.empty((steps, classes))
        for t in range(steps):
            _log_softmax(scores[t, n], logs[t])
        path = np.full(2 * count + 1, blank)
        for k in range(count):
            path[2 * k + 1] = labels[n, k]
        before, after = np.empty((steps, path.size)), np.empty((steps, path.size))
        _paths(logs, path, blank, merges, before)
        _paths(logs[::-1], path[::-1], blank, merges, after[::-1, ::-1])
        total = before[steps - 1, path.size - 1]
        if count > 0:
            total = _add(total, before[steps - 1, path.size - 2])
        losses[n] = -total
        for t in range(steps):
            for c in range(classes):
                grad[t, n, c] = np.exp(logs[t, c])
            if total > -np.inf:
                for u in range(path.size):
                    # Both sums have the step's own probability.
                    grad[t, n, path[u]] -= np.exp(before[t, u] + after[t, u] - logs[t, path[u]] - total)
