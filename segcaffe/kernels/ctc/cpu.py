"""CTC on the CPU: items are divided among threads.

Sums of probabilities are made of numbers in float64 that are scaled to 1 at each step. What becomes too small for that
beside others could be all that is left at the end; where it may have been, sums run over logarithms instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 2_000
"""Scores worth a thread of their own."""
_SURE = 1e-200
"""A sum of products of scaled numbers that what was lost (1e-307 and less) cannot have changed."""
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
def _softmax(scores, logs, chances):
    """Probabilities, and their logarithms."""
    largest = scores[0]
    for c in range(scores.size):
        largest = max(largest, scores[c])
    total = 0.0
    for c in range(scores.size):
        chances[c] = np.exp(np.float64(scores[c]) - largest)
        total += chances[c]
    shift, scale = largest + np.log(total), 1 / total
    for c in range(scores.size):
        logs[c] = scores[c] - shift
        chances[c] *= scale


@_compiled
def _scaled_paths(chances, path, rules, out):
    """For each step and place in the path how probable it is to get there, short of the step's own probability.

    Each step's numbers are scaled so that the largest is 1; returns the logarithm of all factors together. ``rules``
    are 1 where a place may be kept from the step before (0), or come from two places before (1); else 0.
    """
    stays, skips = rules
    size, scale = path.size, 0.0
    # Two places in front of the path that nothing comes from.
    before = np.zeros(size + 2)
    out[0] = 0
    out[0, : min(2, size)] = 1
    for t in range(1, len(chances)):
        for u in range(size):
            before[u + 2] = out[t - 1, u] * chances[t - 1, path[u]]
        row, largest = out[t], 0.0
        for u in range(size):
            row[u] = before[u + 2] * stays[u] + before[u + 1] + before[u] * skips[u]
            largest = max(largest, row[u])
        if not largest > 0:
            return np.nan
        for u in range(size):
            row[u] /= largest
        scale += np.log(largest)
    return scale


@_compiled
def _by_numbers(chances, path, blank, merges, places, grad):
    """The loss of an item, whose gradient is added to (T, C); NaN, and no gradient, where numbers do not do.

    ``places`` (2, T, U) is scratch memory.
    """
    steps, size = len(chances), path.size
    stays, skips, back_skips = np.zeros(size), np.zeros(size), np.zeros(size)
    for u in range(size):
        label = path[u]
        stays[u] = 1.0 if merges or label == blank else 0.0
        if u > 1 and label != blank and not (merges and label == path[u - 2]):
            skips[u] = 1.0
            back_skips[size - 1 - (u - 2)] = 1.0
    before, after = places[0], places[1]
    scale = _scaled_paths(chances, path, (stays, skips), before)
    back = _scaled_paths(chances[::-1], path[::-1], (stays[::-1].copy(), back_skips), after[::-1, ::-1])
    last = 0.0
    for u in range(max(0, size - 2), size):
        last += before[steps - 1, u] * chances[steps - 1, path[u]]
    if not last > _SURE or np.isnan(scale + back):
        return np.nan
    for t in range(steps):
        total = 0.0
        for u in range(size):
            before[t, u] *= after[t, u]
            total += before[t, u] * chances[t, path[u]]
        if not total > _SURE:
            return np.nan
        for u in range(size):
            before[t, u] *= chances[t, path[u]] / total
    for t in range(steps):
        for u in range(size):
            grad[t, path[u]] -= before[t, u]
    return -(np.log(last) + scale)


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
def _by_logarithms(logs, path, blank, merges, places, grad):
    """As `_by_numbers`, for any probabilities; infinite where no path fits, and then without a gradient."""
    before, after = places[0], places[1]
    _paths(logs, path, blank, merges, before)
    _paths(logs[::-1], path[::-1], blank, merges, after[::-1, ::-1])
    steps, size = len(logs), path.size
    total = before[steps - 1, size - 1]
    if size > 1:
        total = _add(total, before[steps - 1, size - 2])
    if total > -np.inf:
        for t in range(steps):
            for u in range(size):
                # Both sums have the step's own probability.
                grad[t, path[u]] -= np.exp(before[t, u] + after[t, u] - logs[t, path[u]] - total)
    return -total


@_compiled
def _forward(scores, labels, lengths, blank, merges, losses, grad, start, stop):
    classes = scores.shape[2]
    for n in range(start, stop):
        steps, count = lengths[0, n], lengths[1, n]
        grad[:, n] = 0
        losses[n] = 0
        if steps == 0:
            continue
        logs, chances = np.empty((2, steps, classes))
        for t in range(steps):
            _softmax(scores[t, n], logs[t], chances[t])
        path = np.full(2 * count + 1, blank)
        for k in range(count):
            path[2 * k + 1] = labels[n, k]
        slopes, places = chances.copy(), np.empty((2, steps, path.size))
        loss = _by_numbers(chances, path, blank, merges, places, slopes)
        if np.isnan(loss):
            loss = _by_logarithms(logs, path, blank, merges, places, slopes)
        losses[n] = loss
        for t in range(steps):
            for c in range(classes):
                grad[t, n, c] = slopes[t, c]
