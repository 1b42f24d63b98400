"""Sums of rows by index on the GPU: a stable sort keeps each sum in the order of the rows."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch


def add_rows(rows: Array, index: Array, table: Array) -> None:
    whole = index.astype("int64")
    order = xp().argsort(whole, kind="stable")
    starts = xp().searchsorted(whole[order], xp().arange(len(table) + 1))
    launch("embed", "add_rows", table.size, rows, order, starts, table, table.shape[1], table.size)
