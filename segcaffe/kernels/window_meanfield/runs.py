"""Elementwise loops on consecutive elements of flat arrays: slices would be counted.

Starts are unsigned, because an index that may be negative would be checked for Python's wrap-around.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import FAST, njit
from segcaffe.kernels.vector.vector_math import exp


@njit(nogil=True, cache=True)
def scaled(source, at, factor, target, to, count):
    """``target[x] = source[x] * factor``."""
    a, b = np.uint64(at), np.uint64(to)
    for x in range(np.uint64(count)):
        target[b + x] = source[a + x] * factor


@njit(nogil=True, cache=True)
def times(source, at, factors, beside, target, to, count):
    """``target[x] = source[x] * factors[x]``."""
    a, b, c = np.uint64(at), np.uint64(beside), np.uint64(to)
    for x in range(np.uint64(count)):
        target[c + x] = source[a + x] * factors[b + x]


@njit(nogil=True, cache=True)
def plus(source, at, other, beside, target, to, count):
    """``target[x] = source[x] + other[x]``."""
    a, b, c = np.uint64(at), np.uint64(beside), np.uint64(to)
    for x in range(np.uint64(count)):
        target[c + x] = source[a + x] + other[b + x]


@njit(nogil=True, cache=True, fastmath=FAST)
def add_times(source, at, factors, beside, sums, count):
    """``sums[x] += source[x] * factors[x]``."""
    a, b = np.uint64(at), np.uint64(beside)
    for x in range(np.uint64(count)):
        sums[x] += source[a + x] * factors[b + x]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def inverse_of(source, at, extra, target, to, count):
    """``target[x] = 1 / (source[x] + extra[x])``."""
    a, b = np.uint64(at), np.uint64(to)
    one = source.dtype.type(1)
    for x in range(np.uint64(count)):
        target[b + x] = one / (source[a + x] + extra[x])


@njit(nogil=True, cache=True, fastmath=FAST)
def exponentials(sums, at, factor, target, to, count):
    """``target[x] = exp(sums[x] * factor)``."""
    a, b = np.uint64(at), np.uint64(to)
    for x in range(np.uint64(count)):
        target[b + x] = exp(sums[a + x] * factor)
