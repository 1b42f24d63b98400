"""The transforms of F(4x4, 3x3) on vectors that hold one value of many tiles.

A tile is 4 x 4 pixels of the output, made of 6 x 6 of the input. With the matrices A, B, G of the method the output is
y = A^T [(G g G^T) * (B^T d B)] A for taps g and input d; the gradient of g is G^T [sum of (A y' A^T) * (B^T d B)] G for
the gradient y' of the output. All take flat arrays with start indices, are callable from compiled kernels only, and
work on as many tiles, side by side, as a vector has lanes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from segcaffe.kernels.vector.tile import Vectors, vector_code

NEAR, FAR = math.sqrt(0.5), math.sqrt(2)
"""The method interpolates at 0, +-NEAR, +-FAR and infinity. With the usual 1 and 2 the error is five times as large;
NEAR * FAR = 1 saves two products."""
STEP, SIZE = 4, 6
"""Pixels that a tile adds to the output on each axis, and that it reads of the input."""


def _times(vectors: Vectors, factor: float, value: Any, total: Any) -> Any:
    return vectors.multiply_add(value, vectors.constant(factor), total)


def _transform_input(vectors: Vectors, d: list[Any]) -> list[Any]:
    """B^T d for six values."""
    add, sub, times = vectors.builder.fadd, vectors.builder.fsub, vectors.builder.fmul
    near, far = vectors.constant(NEAR), vectors.constant(FAR)
    near_even, near_odd = _times(vectors, -(FAR**2), d[2], d[4]), times(near, _times(vectors, -(FAR**2), d[1], d[3]))
    far_even, far_odd = _times(vectors, -(NEAR**2), d[2], d[4]), times(far, _times(vectors, -(NEAR**2), d[1], d[3]))
    both = -(NEAR**2) - FAR**2
    first, last = _times(vectors, both, d[2], add(d[0], d[4])), _times(vectors, both, d[3], add(d[1], d[5]))
    pairs = [add(near_even, near_odd), sub(near_even, near_odd), add(far_even, far_odd), sub(far_even, far_odd)]
    return [first, *pairs, last]


def _transform_output(vectors: Vectors, m: list[Any]) -> list[Any]:
    """A^T m for six values: four."""
    add, sub, times = vectors.builder.fadd, vectors.builder.fsub, vectors.builder.fmul
    near, near_odd, far, far_odd = add(m[1], m[2]), sub(m[1], m[2]), add(m[3], m[4]), sub(m[3], m[4])
    powers = [
        _times(vectors, FAR**i, f, times(vectors.constant(NEAR**i), n))
        for i, n, f in ((1, near_odd, far_odd), (2, near, far), (3, near_odd, far_odd))
    ]
    return [add(m[0], add(near, far)), powers[0], powers[1], add(powers[2], m[5])]


def _transform_gradient(vectors: Vectors, y: list[Any]) -> list[Any]:
    """A y for four values: six."""
    add, sub, times = vectors.builder.fadd, vectors.builder.fsub, vectors.builder.fmul
    out = [y[0]]
    for point in (NEAR, FAR):
        even = _times(vectors, point**2, y[2], y[0])
        odd = _times(vectors, point**3, y[3], times(vectors.constant(point), y[1]))
        out += [add(even, odd), sub(even, odd)]
    return [*out, y[3]]


def _transform_taps(vectors: Vectors, a: Any, b: Any, c: Any) -> list[Any]:
    """G times three taps: six values. The first should be divided by (NEAR * FAR)^2, which is 1."""
    out = [a]
    times, add, sub = vectors.builder.fmul, vectors.builder.fadd, vectors.builder.fsub
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        factor = 0.5 / point**2 / (point**2 - other**2)
        even = _times(vectors, factor * point**2, c, times(a, vectors.constant(factor)))
        odd = times(b, vectors.constant(factor * point))
        out += [add(even, odd), sub(even, odd)]
    return [*out, c]


def _transform_input_2(vectors: Vectors, d: list[Any]) -> list[Any]:
    """B^T d of F(2x2, 3x3), which interpolates at 0, +-1 and infinity, for four values."""
    add, sub = vectors.builder.fadd, vectors.builder.fsub
    return [sub(d[0], d[2]), add(d[1], d[2]), sub(d[2], d[1]), sub(d[1], d[3])]


def _transform_output_2(vectors: Vectors, m: list[Any]) -> list[Any]:
    """A^T m of F(2x2, 3x3) for four values: two."""
    add, sub = vectors.builder.fadd, vectors.builder.fsub
    return [add(m[0], add(m[1], m[2])), sub(sub(m[1], m[2]), m[3])]


def _transform_taps_2(vectors: Vectors, a: Any, b: Any, c: Any) -> list[Any]:
    """G of F(2x2, 3x3) times three taps: four values."""
    add, sub, half = vectors.builder.fadd, vectors.builder.fsub, vectors.constant(0.5)
    even, odd = vectors.builder.fmul(add(a, c), half), vectors.builder.fmul(b, half)
    return [a, add(even, odd), sub(even, odd), c]


class Form(NamedTuple):
    """One of the methods: pixels that a tile adds on each axis, that it reads, and the transforms of one axis."""

    step: int
    size: int
    input: Callable[[Vectors, list[Any]], list[Any]]
    output: Callable[[Vectors, list[Any]], list[Any]]
    taps: Callable[[Vectors, Any, Any, Any], list[Any]]


FORMS = {
    2: Form(2, 4, _transform_input_2, _transform_output_2, _transform_taps_2),
    4: Form(STEP, SIZE, _transform_input, _transform_output, _transform_taps),
}
"""F(2x2, 3x3) and F(4x4, 3x3)."""


def _load(vectors: Vectors, source: Any, step: Any, places: range) -> list[Any]:
    addresses = [vectors.at(source, vectors.builder.mul(step, vectors.index(i))) for i in places]
    return [vectors.load(one) for one in addresses]


def _store_rows(vectors: Vectors, rows: Iterable[list[Any]], target: Any, step: Any) -> None:
    for i, value in enumerate(itertools.chain.from_iterable(rows)):
        vectors.store(value, vectors.at(target, vectors.builder.mul(step, vectors.index(i))))


def _store_columns(vectors: Vectors, columns: Iterable[list[Any]], target: Any, step: Any) -> None:
    for j, column in enumerate(columns):
        for i, value in enumerate(column):
            vectors.store(value, vectors.at(target, vectors.builder.mul(step, vectors.index(i * SIZE + j))))


@vector_code
def kernel_tiles(vectors, taps, start, tap_step, out, out_start, out_step):
    """``out[(i * 6 + j) * out_step + kernel] = (G g G^T)[i, j]``, g being the taps ``taps[t * tap_step + kernel]``."""
    g = _load(vectors, vectors.at(taps, start), tap_step, range(9))
    columns = [_transform_taps(vectors, *g[j::3]) for j in range(3)]
    rows = (_transform_taps(vectors, *(column[i] for column in columns)) for i in range(SIZE))
    _store_rows(vectors, rows, vectors.at(out, out_start), out_step)


def _gather_taps(vectors: Vectors, m: list[Any]) -> list[Any]:
    """G^T times six values: three taps. The first value should be divided by (NEAR * FAR)^2, which is 1."""
    times, add, sub = vectors.builder.fmul, vectors.builder.fadd, vectors.builder.fsub
    taps = [m[0], None, m[5]]
    for point, other, plus, minus in ((NEAR, FAR, m[1], m[2]), (FAR, NEAR, m[3], m[4])):
        factor = 0.5 / point**2 / (point**2 - other**2)
        even, odd = add(plus, minus), sub(plus, minus)
        taps[0] = _times(vectors, factor, even, taps[0])
        middle = vectors.constant(factor * point)
        taps[1] = times(odd, middle) if taps[1] is None else vectors.multiply_add(odd, middle, taps[1])
        taps[2] = _times(vectors, factor * point**2, even, taps[2])
    return taps


@vector_code
def tap_tiles(vectors, sums, start, step, out, out_start, out_step):
    """``out[t * out_step + kernel] = (G^T s G)[t]`` for nine taps, s being ``sums[(i * 6 + j) * step + kernel]``."""
    source = vectors.at(sums, start)
    columns = [_gather_taps(vectors, _load(vectors, source, step, range(j, SIZE**2, SIZE))) for j in range(SIZE)]
    rows = (_gather_taps(vectors, [column[i] for column in columns]) for i in range(3))
    _store_rows(vectors, rows, vectors.at(out, out_start), out_step)


@vector_code
def input_tiles(vectors, rows, start, row_step, out, out_start, out_step):
    """``out[(i * 6 + j) * out_step + tile] = (B^T d B)[i, j]``, d being 6 rows from column ``4 * tile`` on.

    Reads 6 rows, ``row_step`` apart, of 4 * lanes + 4 elements each.
    """
    lanes, table = vectors.length, []
    picks = [[(j % STEP) + STEP * t for t in range(lanes)] for j in range(SIZE)]
    for i in range(SIZE):
        row = vectors.at(vectors.at(rows, start), vectors.builder.mul(row_step, vectors.index(i)))
        near, far = (vectors.load(vectors.at(row, shift), STEP * lanes) for shift in (0, STEP))
        columns = [vectors.shuffle(near if j < STEP else far, near, picks[j]) for j in range(SIZE)]
        table.append(_transform_input(vectors, columns))
    transformed = (_transform_input(vectors, list(column)) for column in zip(*table, strict=True))
    _store_columns(vectors, transformed, vectors.at(out, out_start), out_step)


@vector_code
def gradient_tiles(vectors, rows, start, row_step, out, out_start, out_step):
    """``out[(i * 6 + j) * out_step + tile] = (A y A^T)[i, j]``, y being 4 rows from column ``4 * tile`` on.

    Reads 4 rows, ``row_step`` apart, of 4 * lanes elements each.
    """
    lanes, table = vectors.length, []
    for i in range(STEP):
        place = vectors.at(vectors.at(rows, start), vectors.builder.mul(row_step, vectors.index(i)))
        row = vectors.load(place, STEP * lanes)
        columns = [vectors.shuffle(row, row, [j + STEP * t for t in range(lanes)]) for j in range(STEP)]
        table.append(_transform_gradient(vectors, columns))
    transformed = (_transform_gradient(vectors, list(column)) for column in zip(*table, strict=True))
    _store_columns(vectors, transformed, vectors.at(out, out_start), out_step)


@vector_code
def output_tiles(vectors, sums, start, step, table, table_at, slope, rows, rows_start, row_step):
    """``rows[i * row_step + 4 * tile + j]`` is ``v = scale * (A^T m A)[i, j] + bias``, or ``slope * v`` where v <= 0.

    m[i, j] is ``sums[(i * 6 + j) * step + tile]``; ``table`` holds scale and bias. Writes 4 rows of 4 * lanes elements.
    """
    builder, lanes, table = vectors.builder, vectors.length, vectors.at(table, table_at)
    scale, bias = (vectors.splat(builder.load(vectors.at(table, i))) for i in (0, 1))
    source = vectors.at(sums, start)
    columns = [_transform_output(vectors, _load(vectors, source, step, range(j, SIZE**2, SIZE))) for j in range(SIZE)]
    woven = [(t % STEP) * lanes + t // STEP for t in range(STEP * lanes)]
    for i in range(STEP):
        pixels = _transform_output(vectors, [column[i] for column in columns])
        a, b, c, d = vectors.rectify([vectors.multiply_add(p, scale, bias) for p in pixels], slope)
        both = list(range(2 * lanes))
        left, right = vectors.shuffle(a, b, both), vectors.shuffle(c, d, both)
        row = vectors.at(vectors.at(rows, rows_start), builder.mul(row_step, vectors.index(i)))
        vectors.store(vectors.shuffle(left, right, woven), row)
