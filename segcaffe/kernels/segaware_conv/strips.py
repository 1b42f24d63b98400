"""Products of one strip of positions (see `tile.strip_length`), element by element, in vector registers.

The compiler would make vector code of plain loops too, but for a strip its checks for overlapping arrays cost several
times the work. Arrays are flat and of one dtype; the strips must lie inside them, which nothing checks.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

from segcaffe.kernels.vector.tile import STREAMS, vector_code


def _make(adds: bool) -> Any:
    @vector_code
    def product(vectors, out, out_at, a, a_at, b, b_at):
        target, first, second = vectors.at(out, out_at), vectors.at(a, a_at), vectors.at(b, b_at)
        places = [v * vectors.length for v in range(STREAMS)]
        pairs = [(vectors.load(vectors.at(first, p)), vectors.load(vectors.at(second, p))) for p in places]
        if adds:
            sums = [vectors.load(vectors.at(target, p)) for p in places]
            values = [vectors.multiply_add(x, y, s) for (x, y), s in zip(pairs, sums, strict=True)]
        else:
            values = [vectors.builder.fmul(x, y) for x, y in pairs]
        for value, p in zip(values, places, strict=True):
            vectors.store(value, vectors.at(target, p))

    return product


product = _make(adds=False)
"""``out[out_at + v] = a[a_at + v] * b[b_at + v]`` for the positions v of a strip."""
add_product = _make(adds=True)
"""``out[out_at + v] += a[a_at + v] * b[b_at + v]`` for the positions v of a strip."""
