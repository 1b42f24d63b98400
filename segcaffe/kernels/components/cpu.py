"""Connected components on the CPU: planes are divided among threads, each area is flooded from its first pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 50_000
"""Pixels worth a thread of their own."""


def number(labels: Array, found: Array) -> None:
    height, width = labels.shape[1:]
    body = lambda start, stop: _number(labels, found, start, stop)  # noqa: E731
    parallel.run(len(labels), body, max(1, _GRAIN // max(1, height * width)))


@njit(nogil=True, cache=True)
def _number(labels, found, start, stop):
    height, width = labels.shape[1], labels.shape[2]
    stack = np.empty(height * width, np.int64)
    for plane in range(start, stop):
        given, out = labels[plane], found[plane]
        last = 0
        for i in range(height):
            for j in range(width):
                last = max(last, given[i, j])
                out[i, j] = 0
        for first in range(height * width):
            i, j = first // width, first % width
            label = given[i, j]
            if label == 0 or out[i, j] != 0:
                continue
            last += 1
            out[i, j] = last
            stack[0] = first
            waiting = 1
            while waiting > 0:
                waiting -= 1
                i, j = stack[waiting] // width, stack[waiting] % width
                for step in range(4):
                    y = i + (1 if step == 0 else -1 if step == 1 else 0)
                    x = j + (1 if step == 2 else -1 if step == 3 else 0)
                    if 0 <= y < height and 0 <= x < width and out[y, x] == 0 and given[y, x] == label:
                        out[y, x] = last
                        stack[waiting] = y * width + x
                        waiting += 1
