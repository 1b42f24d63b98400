"""Lengths of pixels on the CPU: threads divide the pixels, in blocks that stay in the cache for all channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, SUMS_OF_ANY_ZERO, njit
from segcaffe.kernels.pixel_norm import Epsilon
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]
_BLOCK = 512
"""Pixels of which all channels are worked on together."""
_GRAIN = 50_000
"""Elements worth a thread of their own."""
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)
_summing = njit(nogil=True, cache=True, error_model="numpy", fastmath=SUMS_OF_ANY_ZERO)


def forward(x: Array, scale: Array, norm: Array, y: Array, epsilon: Epsilon) -> None:
    numbers = x.dtype.type(epsilon.inside), x.dtype.type(epsilon.outside)
    _run(x, lambda start, stop: ((_forward, (x, scale, norm, y, *numbers, start, stop)),))


def backward(x: Array, scale: Array, norm: Array, dy: Array, dx: Array) -> None:
    _run(x, lambda start, stop: ((_backward, (x, scale, norm, dy, dx, start, stop)),))


def scale_grad(x: Array, norm: Array, dy: Array, out: Array) -> None:
    images, channels, positions = x.shape
    partial = np.empty((images, channels))
    body = lambda start, stop: _scale_grad(x, norm, dy, partial.reshape(-1), start, stop)  # noqa: E731
    parallel.run(images * channels, body, max(1, _GRAIN // max(positions, 1)))
    out[...] = partial.sum(axis=0)


def _run(x: Array, part: calls.Calls) -> None:
    images, channels, positions = x.shape
    count = images * -(-positions // _BLOCK)
    calls.run(count, part, max(1, _GRAIN // max(1, channels * min(positions, _BLOCK))))


@njit(nogil=True, cache=True)
def _block(index, positions):
    """The image of a block of pixels, and the range of pixels."""
    blocks = (positions + _BLOCK - 1) // _BLOCK
    return index // blocks, index % blocks * _BLOCK, min(positions, (index % blocks + 1) * _BLOCK)


@_compiled
def _add_products(a, b, factor, out):
    for i in range(out.size):
        out[i] += factor * a[i] * b[i]


@_compiled
def _inverses(norm, out):
    for i in range(norm.size):
        out[i] = 1 / norm[i]


@_compiled
def _scaled(x, factors, scale, out):
    for i in range(out.size):
        out[i] = x[i] * factors[i] * scale


@_compiled
def _gradient(x, dots, inverses, dy, scale, out):
    for i in range(out.size):
        out[i] = (scale * dy[i] - x[i] * dots[i]) * inverses[i]


@_compiled
def _forward(x, scale, norm, y, inside, outside, start, stop):
    one, inverses = x.dtype.type(1), np.empty(_BLOCK, x.dtype)
    for index in range(start, stop):
        n, first, last = _block(index, x.shape[2])
        lengths = norm[n, first:last]
        lengths[:] = inside
        for c in range(x.shape[1]):
            values = x[n, c, first:last]
            _add_products(values, values, one, lengths)
        for i in range(lengths.size):
            lengths[i] = np.sqrt(lengths[i]) + outside
        _inverses(lengths, inverses)
        for c in range(x.shape[1]):
            _scaled(x[n, c, first:last], inverses, scale[c], y[n, c, first:last])


@_compiled
def _backward(x, scale, norm, dy, dx, start, stop):
    dots, inverses = np.empty(_BLOCK, x.dtype), np.empty(_BLOCK, x.dtype)
    for index in range(start, stop):
        n, first, last = _block(index, x.shape[2])
        dots[:] = 0
        for c in range(x.shape[1]):
            _add_products(x[n, c, first:last], dy[n, c, first:last], scale[c], dots[: last - first])
        _inverses(norm[n, first:last], inverses)
        for i in range(last - first):
            dots[i] *= inverses[i] * inverses[i]
        for c in range(x.shape[1]):
            _gradient(x[n, c, first:last], dots, inverses, dy[n, c, first:last], scale[c], dx[n, c, first:last])


@_summing
def _scale_grad(x, norm, dy, partial, start, stop):
    for k in range(start, stop):
        n, c = k // x.shape[1], k % x.shape[1]
        values, lengths, grads = x[n, c], norm[n], dy[n, c]
        total = 0.0
        for i in range(values.size):
            total += grads[i] * values[i] / lengths[i]
        partial[k] = total
