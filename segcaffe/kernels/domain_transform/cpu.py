"""The domain transform's recursive filter on the CPU: planes are divided among threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_PARTS = 8
"""Into how many parts the sum over an image's channels is divided."""


def forward(image: Array, weights: Array, sizes: Array) -> None:
    planes = image.shape[0] * image.shape[1]
    parallel.run(planes, lambda a, b: _forward(image, weights, sizes, a, b))


def backward(image: Array, weights: Array, sizes: Array, grad: Array, weight_grad: Array) -> None:
    num, channels = image.shape[:2]
    parts = min(_PARTS, channels)
    sums = np.zeros((parts, *weights.shape), weights.dtype)
    parallel.run(num * parts, lambda a, b: _backward(image, weights, sizes, grad, sums, a, b))
    np.sum(sums, axis=0, out=weight_grad)


@njit(nogil=True, cache=True)
def _blend(row, previous, weight, delta):
    """One step of a vertical pass; ``delta`` keeps the differences that the weights multiply."""
    for x in range(len(row)):
        delta[x] = previous[x] - row[x]
        row[x] += weight[x] * delta[x]


@njit(nogil=True, cache=True)
def _iterate(plane, weight, height, width, deltas):
    """One iteration over a plane; ``deltas`` (4, H, W) keeps each pass's differences."""
    for y in range(height):
        row, w, right, left = plane[y], weight[y], deltas[0, y], deltas[1, y]
        for x in range(1, width):
            right[x] = row[x - 1] - row[x]
            row[x] += w[x] * right[x]
        for x in range(width - 1, 0, -1):
            left[x] = row[x] - row[x - 1]
            row[x - 1] += w[x] * left[x]
    for y in range(1, height):
        _blend(plane[y, :width], plane[y - 1, :width], weight[y, :width], deltas[2, y, :width])
    for y in range(height - 1, 0, -1):
        _blend(plane[y - 1, :width], plane[y, :width], weight[y, :width], deltas[3, y, :width])


@njit(nogil=True, cache=True)
def _unblend(grad, previous_grad, weight, delta, weight_grad):
    """Gradient of `_blend`."""
    for x in range(len(grad)):
        weight_grad[x] += grad[x] * delta[x]
        step = weight[x] * grad[x]
        previous_grad[x] += step
        grad[x] -= step


@njit(nogil=True, cache=True)
def _iterate_backward(grad, weight, height, width, deltas, weight_grad):
    """Gradient of `_iterate`: its passes in reverse order."""
    for y in range(1, height):
        _unblend(grad[y - 1, :width], grad[y, :width], weight[y, :width], deltas[3, y, :width], weight_grad[y, :width])
    for y in range(height - 1, 0, -1):
        _unblend(grad[y, :width], grad[y - 1, :width], weight[y, :width], deltas[2, y, :width], weight_grad[y, :width])
    for y in range(height):
        row, w, right, left, total = grad[y], weight[y], deltas[0, y], deltas[1, y], weight_grad[y]
        for x in range(1, width):
            total[x] += row[x - 1] * left[x]
            step = w[x] * row[x - 1]
            row[x] += step
            row[x - 1] -= step
        for x in range(width - 1, 0, -1):
            total[x] += row[x] * right[x]
            step = w[x] * row[x]
            row[x - 1] += step
            row[x] -= step


@njit(nogil=True, cache=True)
def _forward(image, weights, sizes, start, stop):
    channels = image.shape[1]
    deltas = np.empty((4, *image.shape[2:]), image.dtype)
    for index in range(start, stop):
        n, c = index // channels, index % channels
        for i in range(len(weights)):
            _iterate(image[n, c], weights[i, n], sizes[n, 0], sizes[n, 1], deltas)


@njit(nogil=True, cache=True)
def _backward(image, weights, sizes, grad, sums, start, stop):
    """Parts start..stop of the channels, counted over all images; each adds to a sum of its own."""
    channels, parts, iterations = image.shape[1], len(sums), len(weights)
    deltas = np.empty((iterations, 4, *image.shape[2:]), image.dtype)
    for index in range(start, stop):
        n, part = index // parts, index % parts
        height, width = sizes[n, 0], sizes[n, 1]
        for c in range(channels * part // parts, channels * (part + 1) // parts):
            plane = image[n, c].copy()
            for i in range(iterations):
                _iterate(plane, weights[i, n], height, width, deltas[i])
            for i in range(iterations - 1, -1, -1):
                _iterate_backward(grad[n, c], weights[i, n], height, width, deltas[i], sums[part, i, n])
