"""Vectors of as many elements as a tile has rows: what `tile.pack_block` brings side by side.

The lanes are channels, one behind the other, instead of neighbouring positions.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir

from segcaffe.kernels.vector.tile import ROWS, Vectors, vector_code


class Lanes(Vectors):
    """Vectors of `ROWS` elements, whatever the register's length."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        super().__init__(context, builder, dtype)
        self.length, self.type = ROWS, ir.VectorType(self.type.element, ROWS)
        self.zero = ir.Constant(self.type, [0.0] * ROWS)


lanes_code = functools.partial(vector_code, make=Lanes)
"""`vector_code` for bodies that take `Lanes`."""
