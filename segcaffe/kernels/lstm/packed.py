"""Products of a few rows with weights that were packed once for many products.

BLAS packs both operands at each call, which for a step of a recurrent network (few rows, the same weights again) costs
more than the product. Here weights lie in strips of columns as wide as a tile of vector registers, rows in groups as
high as that tile.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import njit
from segcaffe.kernels.matmul.loops import wide_tile
from segcaffe.kernels.vector.tile import ROWS, strip_length


def pack(weight: Array) -> Array:
    """Weights (K, N) as strips of columns (strips, K, strip length), filled up with zeros."""
    depth, columns = weight.shape
    strip = strip_length(weight.dtype)
    panels = np.zeros((-(-columns // strip), depth, strip), weight.dtype)
    for b, panel in enumerate(panels):
        part = weight[:, b * strip : (b + 1) * strip]
        panel[:, : part.shape[1]] = part
    return panels


@njit(nogil=True, cache=True)
def arrange(row, factor, n, left):
    """Put one row, times a factor, where `multiply` expects row ``n`` of its left operand (groups, K, ROWS)."""
    group, place = n // ROWS, n % ROWS
    for k in range(row.size):
        left[group, k, place] = row[k] * factor


@njit(nogil=True, cache=True)
def multiply(left, panels, out):
    """Rows times weights: ``left`` (groups, K, ROWS), ``panels`` of `pack`, ``out`` (groups * ROWS, padded columns)."""
    strips, depth, strip = panels.shape
    groups, stride = left.shape[0], out.shape[1]
    rows, weights, to = left.reshape(-1), panels.reshape(-1), out.reshape(-1)
    for b in range(strips):
        for group in range(groups):
            at = group * ROWS * stride + b * strip
            group_at, panel_at = group * depth * ROWS, b * depth * strip
            wide_tile(rows, group_at, weights, panel_at, depth, True, to, at, stride, ROWS, strip)


@njit(nogil=True, cache=True)
def operands(panels, num, dtype):
    """Left operand (zeros) and result of `multiply` for ``num`` rows."""
    groups = (num + ROWS - 1) // ROWS
    left = np.zeros((groups, panels.shape[1], ROWS), dtype)
    return left, np.zeros((groups * ROWS, panels.shape[0] * panels.shape[2]), dtype)
