"""Rows of pixels as rows of blocks of equal pixels."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import copy_run, vector_code


@vector_code
def _double(vectors, target, target_start, source, source_start):
    """``target[2 i] = target[2 i + 1] = source[i]`` for a vector's length of i."""
    values = vectors.load(vectors.at(source, source_start))
    to = vectors.at(target, target_start)
    for half in range(2):
        lanes = [(half * vectors.length + lane) // 2 for lane in range(vectors.length)]
        vectors.store(vectors.shuffle(values, values, lanes), vectors.at(to, half * vectors.length))


@njit(nogil=True, cache=True)
def repeat_rows(source, target, block, start, stop):
    """Fill rows [start, stop) of blocks; ``block`` is a vector's length."""
    _, high, wide, across = target.shape
    x, y = source.reshape(-1), target.reshape(-1)
    line = wide * across
    for r in range(start, stop):
        at_from, at_to = r * wide, r * high * line
        if across == 2 and wide >= block:
            for c in range(0, wide - block, block):
                _double(y, at_to + 2 * c, x, at_from + c)
            # The last vector may overlap with the one before.
            _double(y, at_to + 2 * (wide - block), x, at_from + wide - block)
        else:
            for c in range(wide):
                for j in range(across):
                    y[at_to + c * across + j] = x[at_from + c]
        for i in range(1, high):
            copy_run(y, at_to + i * line, y, at_to, line)
