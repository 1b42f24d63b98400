"""Sums of rows that belong to one index."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("table",))
def add_rows(rows: Array, index: Array, table: Array) -> None:
    """``table[index[m]] += rows[m]`` for each m, an index that occurs often added to in the order of m.

    Parameters
    ----------
    rows:
        (M, D), C-contiguous, float32 or float64.
    index:
        (M,), whole numbers in [0, V), of any dtype.
    table:
        (V, D), of the dtype of ``rows``.
    """
