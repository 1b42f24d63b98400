"""Products of a few rows with many: each result is a sum along a row of both, as an InnerProduct of few items has them.

BLAS copies the many rows before it multiplies, which takes longer than the products. Here they are read where they lie,
at the rate at which memory delivers them: one after the other for one item, which is one stream; four beside two items
where there are several, so that there are more products than loads.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import SUMS, njit

ROWS = 4
"""Rows that are read side by side where there are several items."""
FEW = 16
"""Left rows that are few: BLAS is faster with more."""


@njit(nogil=True, cache=True, fastmath=SUMS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _dots(row, first, second, third, fourth):
    """The sums of products of a row with four others; nothing is stored here (see docs/adding-a-kernel.md)."""
    a = b = c = d = row.dtype.type(0)
    for i in range(row.size):
        a += row[i] * first[i]
        b += row[i] * second[i]
        c += row[i] * third[i]
        d += row[i] * fourth[i]
    return a, b, c, d


@njit(nogil=True, cache=True, fastmath=SUMS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _dots_of_two(row, other, first, second, third, fourth):
    """`_dots` of two rows, for which the four are loaded once."""
    a = b = c = d = row.dtype.type(0)
    e = f = g = h = row.dtype.type(0)
    for i in range(row.size):
        a += row[i] * first[i]
        b += row[i] * second[i]
        c += row[i] * third[i]
        d += row[i] * fourth[i]
        e += other[i] * first[i]
        f += other[i] * second[i]
        g += other[i] * third[i]
        h += other[i] * fourth[i]
    return (a, b, c, d), (e, f, g, h)


@njit(nogil=True, cache=True, fastmath=SUMS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _dot(row, other):
    """The sum of products of two rows; nothing is stored here either."""
    total = row.dtype.type(0)
    for i in range(row.size):
        total += row[i] * other[i]
    return total


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _put(row, n, values):
    """Write results from column ``n`` on, as far as the row goes."""
    for i in range(min(ROWS, row.size - n)):
        row[n + i] = values[i]


@njit(nogil=True, cache=True)
def multiply(left, right, out, start, stop):
    """``out = left @ right.T`` for rows of ``right`` start to stop, counted in groups of `ROWS`.

    Each is computed in one way, whoever computes the others.
    """
    items = len(left)
    if items == 1:
        for n in range(start * ROWS, min(stop * ROWS, len(right))):
            out[0, n] = _dot(left[0], right[n])
        return
    last = len(right) - 1
    for group in range(start, stop):
        n = group * ROWS
        # Where rows are missing at the end the last one stands for them.
        first, second, third, fourth = (
            right[n],
            right[min(n + 1, last)],
            right[min(n + 2, last)],
            right[min(n + 3, last)],
        )
        for m in range(0, items - 1, 2):
            upper, lower = _dots_of_two(left[m], left[m + 1], first, second, third, fourth)
            _put(out[m], n, upper)
            _put(out[m + 1], n, lower)
        if items % 2:
            _put(out[items - 1], n, _dots(left[items - 1], first, second, third, fourth))
