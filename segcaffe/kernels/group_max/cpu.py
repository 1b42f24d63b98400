"""Maxima over groups of channels on the CPU: the groups' positions are divided among threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 50_000
_BLOCK = 2048
"""Positions done at a time: few enough to stay in the nearest cache from channel to channel."""
_compiled = njit(nogil=True, cache=True)


def forward(x: Array, y: Array, first: Array) -> None:
    groups, size, positions = x.shape
    blocks = -(-positions // _BLOCK)
    body = lambda start, stop: _forward(x, y, first, blocks, start, stop)  # noqa: E731
    parallel.run(groups * blocks, body, max(1, _GRAIN // (size * _BLOCK)))


@_compiled
def _forward(x, y, first, blocks, start, stop):
    for k in range(start, stop):
        group, begin = k // blocks, k % blocks * _BLOCK
        best, place = y[group, begin : begin + _BLOCK], first[group, begin : begin + _BLOCK]
        best[:] = x[group, 0, begin : begin + _BLOCK]
        place[:] = 0
        for c in range(1, x.shape[1]):
            values = x[group, c, begin : begin + _BLOCK]
            for i in range(best.size):
                larger = values[i] > best[i]
                best[i] = values[i] if larger else best[i]
                place[i] = c if larger else place[i]


def backward(dy: Array, first: Array, dx: Array) -> None:
    groups, size, positions = dx.shape
    body = lambda start, stop: _backward(dy, first, dx, start, stop)  # noqa: E731
    parallel.run(groups * size, body, max(1, _GRAIN // max(positions, 1)))


@_compiled
def _backward(dy, first, dx, start, stop):
    for k in range(start, stop):
        group, c = k // dx.shape[1], np.int32(k % dx.shape[1])
        given, place, out = dy[group], first[group], dx[group, c]
        for i in range(out.size):
            out[i] = given[i] if place[i] == c else 0
