"""Products of a few rows with many: each result is a sum along a row of both, as an InnerProduct of few items has them.

BLAS copies the many rows before it multiplies, which takes longer than the products. Here they are read where they lie,
at the rate at which memory delivers them: one after the other for one item, which is one stream; four beside four items
where there are several, whose sixteen sums stay in registers.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from segcaffe.jit.compiled import SUMS, njit
from segcaffe.kernels.matmul.loops import lanes_below, masked
from segcaffe.kernels.vector.tile import Vectors, sum_loop, vector_code

ROWS = 4
"""Rows that are read side by side where there are several items."""
FEW = 16
"""Left rows that are few: BLAS is faster with more."""


def _make_block(items: int) -> Any:
    """``out[i * ROWS + r] = sum over k < count of left[i * count + k] * right[rows[r] + k]`` for i < items, all rows.

    Lanes are summed in the end, so each result is computed in one way, whatever the number of items.
    """

    @vector_code
    def block(vectors, left, left_at, right, rows, count, out):
        builder = vectors.builder
        left = vectors.at(left, left_at)
        lines = [vectors.at(left, builder.mul(count, vectors.index(i))) for i in range(items)]
        lines += [vectors.at(right, row) for row in rows]
        whole = builder.sdiv(count, vectors.index(vectors.length))
        done = builder.mul(whole, vectors.index(vectors.length))
        lanes = lanes_below(vectors, builder, builder.sub(count, done), 0)

        some = [
            masked(vectors, builder, "load", [vectors.at(line, done), _ALIGN, lanes, vectors.zero]) for line in lines
        ]

        def add(k, totals):
            at = builder.mul(k, vectors.index(vectors.length))
            return _products(vectors, [vectors.load(vectors.at(line, at)) for line in lines], totals)

        # What is left of rows that are no multiple of a vector comes first.
        sums = _products(vectors, some, [vectors.zero] * (items * ROWS))
        before = builder.block
        with builder.if_then(builder.icmp_signed(">", whole, vectors.index(0))):
            added, after = sum_loop(vectors, whole, sums, add), builder.block
        merged = [builder.phi(vectors.type) for _ in sums]
        for phi, one, other in zip(merged, sums, added, strict=True):
            phi.add_incoming(one, before)
            phi.add_incoming(other, after)
        for i in range(items):
            vectors.store(vectors.sums(merged[i * ROWS : (i + 1) * ROWS]), vectors.at(out, i * ROWS))

    return block


def _products(vectors: Vectors, values: list[Any], totals: list[Any]) -> list[Any]:
    """Sums of products of each item, the first values, with each of the rows, the last ones."""
    items, rows = values[:-ROWS], values[-ROWS:]
    pairs = [(item, row) for item in items for row in rows]
    return [vectors.multiply_add(*pair, total) for pair, total in zip(pairs, totals, strict=True)]


_ALIGN = ir.IntType(32)(4)
_ITEMS = 4
"""Items beside each other."""
_four_items, _two_items, _one_item = (_make_block(items) for items in (_ITEMS, 2, 1))


@njit(nogil=True, cache=True, fastmath=SUMS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _dot(row, other):
    """The sum of products of two rows; nothing is stored here either."""
    total = row.dtype.type(0)
    for i in range(row.size):
        total += row[i] * other[i]
    return total


@njit(nogil=True, cache=True)
def multiply(left, right, out, start, stop):
    """``out = left @ right.T``, all contiguous, for rows of ``right`` start to stop, counted in groups of `ROWS`.

    Each is computed in one way, whoever computes the others.
    """
    items, count = left.shape
    if items == 1:
        for n in range(start * ROWS, min(stop * ROWS, len(right))):
            out[0, n] = _dot(left[0], right[n])
        return
    last, given, weights = len(right) - 1, left.reshape(-1), right.reshape(-1)
    sums = np.empty(_ITEMS * ROWS, out.dtype)
    for group in range(start, stop):
        n = group * ROWS
        # Where rows are missing at the end the last one stands for them.
        rows = n * count, min(n + 1, last) * count, min(n + 2, last) * count, min(n + 3, last) * count
        item = 0
        while item < items:
            some = _ITEMS if items - item >= _ITEMS else 2 if items - item >= 2 else 1
            if some == _ITEMS:
                _four_items(given, item * count, weights, rows, count, sums)
            elif some == 2:
                _two_items(given, item * count, weights, rows, count, sums)
            else:
                _one_item(given, item * count, weights, rows, count, sums)
            for i in range(some):
                for r in range(min(ROWS, last + 1 - n)):
                    out[item + i, n + r] = sums[i * ROWS + r]
            item += some
