"""The transforms of tiles: of the input with tiles in the lanes, of weights and results with outputs in the lanes."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.kernels.convolution.panels.tile import FACTORS, rectify
from segcaffe.kernels.convolution.winograd.transforms import FORMS, Form
from segcaffe.kernels.vector.tile import Vectors, vector_code

_INT = ir.IntType(32)


def _addresses(vectors: Vectors, array: Any, step: Any, count: int) -> list[Any]:
    return [vectors.at(array, vectors.builder.mul(step, vectors.index(i))) for i in range(count)]


def _both_axes(vectors: Vectors, transform: Any, columns: list[list[Any]]) -> list[list[Any]]:
    """The transform of columns, and of the rows of what that gives: rows."""
    halves = [transform(vectors, column) for column in columns]
    return [transform(vectors, list(row)) for row in zip(*halves, strict=True)]


def _make_input(form: Form) -> Any:
    """``out[(i * size + j) * out_step + tile] = (B^T d B)[i, j]`` for a vector's tiles.

    d is ``size`` rows, ``row_step`` apart. A tile's first ``step`` columns begin at ``near + step * tile``, the others
    at ``far + step * tile``.
    """

    @vector_code
    def transform(vectors, rows, near, far, row_step, out, out_start, out_step):
        lanes, table = vectors.length, []
        picks = [[j % form.step + form.step * tile for tile in range(lanes)] for j in range(form.size)]
        for row in _addresses(vectors, rows, row_step, form.size):
            parts = [vectors.load(vectors.at(row, start), form.step * lanes) for start in (near, far)]
            table.append([vectors.shuffle(parts[j // form.step], parts[0], picks[j]) for j in range(form.size)])
        made = _both_axes(vectors, form.input, [list(column) for column in zip(*table, strict=True)])
        places = _addresses(vectors, vectors.at(out, out_start), out_step, form.size**2)
        for value, place in zip(itertools.chain.from_iterable(made), places, strict=True):
            vectors.store(value, place)

    return transform


def _make_weights(form: Form) -> Any:
    """``out[(i * size + j) * out_step + output] = (G g G^T)[i, j]``, g being ``taps[t * tap_step + output]``."""

    @vector_code
    def transform(vectors, taps, start, tap_step, out, out_start, out_step):
        def axis(vectors, values):
            return form.taps(vectors, *values)

        g = [vectors.load(place) for place in _addresses(vectors, vectors.at(taps, start), tap_step, 9)]
        made = _both_axes(vectors, axis, [g[j::3] for j in range(3)])
        places = _addresses(vectors, vectors.at(out, out_start), out_step, form.size**2)
        for value, place in zip(itertools.chain.from_iterable(made), places, strict=True):
            vectors.store(value, place)

    return transform


def _make_output(form: Form) -> Any:
    """A tile of a vector's outputs: ``out[m * stride + i * width + j] = epilogue of (A^T s A)[i, j]``.

    s[i, j] is the vector ``sums[(i * size + j) * step]``. ``epilogue`` is (table, what becomes of negative results), as
    for panels. Only the first ``rows`` and ``columns`` are written.
    """

    @vector_code
    def transform(vectors, sums, step, epilogue, vector, out, strides, shape):
        builder, (table, kind), (rows, columns) = vectors.builder, epilogue, shape
        table = vectors.at(table, builder.mul(vector, vectors.index(FACTORS * vectors.length)))
        scale, bias, slope = (vectors.load(vectors.at(table, i * vectors.length)) for i in range(FACTORS))
        values = [vectors.load(place) for place in _addresses(vectors, vectors.at(*sums), step, form.size**2)]
        made = _both_axes(vectors, form.output, [values[j :: form.size] for j in range(form.size)])
        pixels = [vectors.multiply_add(value, scale, bias) for row in made for value in row]
        pixels = rectify(vectors, pixels, kind, lambda: [slope] * len(pixels))
        first = vectors.at(*out)
        whole = builder.icmp_signed(">=", columns, vectors.index(form.step))
        for i in range(form.step):
            with builder.if_then(builder.icmp_signed("<", vectors.index(i), rows)):
                line = vectors.at(first, builder.mul(strides[1], vectors.index(i)))
                places = _addresses(vectors, line, strides[0], vectors.length)
                _store_pieces(vectors, pixels[i * form.step : (i + 1) * form.step], places, whole, columns)

    return transform


def _store_pieces(vectors: Vectors, pixels: list[Any], places: list[Any], whole: Any, columns: Any) -> None:
    """Write vectors of neighbouring pixels, each lane's to a place of its own, or so many columns of them."""
    builder, step = vectors.builder, len(pixels)
    pieces = []
    woven = pixels
    while len(woven) > 1:
        lanes = list(range(2 * woven[0].type.count))
        woven = [vectors.shuffle(a, b, lanes) for a, b in zip(woven[::2], woven[1::2], strict=True)]
    for lane in range(vectors.length):
        pieces.append(vectors.shuffle(woven[0], woven[0], [j * vectors.length + lane for j in range(step)]))
    with builder.if_else(whole) as (full, part):
        with full:
            for piece, place in zip(pieces, places, strict=True):
                vectors.store(piece, place)
        with part:
            for j in range(step - 1):
                with builder.if_then(builder.icmp_signed("<", vectors.index(j), columns)):
                    for piece, place in zip(pieces, places, strict=True):
                        builder.store(builder.extract_element(piece, _INT(j)), vectors.at(place, j))


input_2, input_4 = (_make_input(FORMS[step]) for step in (2, 4))
weights_2, weights_4 = (_make_weights(FORMS[step]) for step in (2, 4))
output_2, output_4 = (_make_output(FORMS[step]) for step in (2, 4))


@vector_code
def copy_inside(vectors, target, to, source, line, first, width, count):
    """Copy ``count`` columns of a row of the image from column ``first`` on, 0 where there is none.

    The row begins at ``line`` and has ``width`` columns. Whole vectors are written.
    """
    builder = vectors.builder
    index = ir.IntType(64)
    kind = ir.VectorType(index, vectors.length)
    steps = ir.Constant(kind, list(range(vectors.length)))
    row, target = vectors.at(source, line), vectors.at(target, to)
    limit = _every_lane(vectors, width)
    with cgutils.for_range_slice(builder, vectors.index(0), count, vectors.index(vectors.length), index) as (at, _):
        column = builder.add(first, at)
        # A column before the first one is, as a number without a sign, behind the last one.
        mask = builder.icmp_unsigned("<", builder.add(_every_lane(vectors, column), steps), limit)
        place = builder.bitcast(vectors.at(row, column), vectors.type.as_pointer())
        arguments = [place, _INT(4), mask, vectors.zero]
        signature = ir.FunctionType(vectors.type, [argument.type for argument in arguments])
        name = f"llvm.masked.load.v{vectors.length}f32.p0"
        function = cgutils.get_or_insert_function(builder.module, signature, name)
        vectors.store(builder.call(function, arguments), vectors.at(target, at))


def _every_lane(vectors: Vectors, value: Any) -> Any:
    empty = ir.Constant(ir.VectorType(value.type, vectors.length), ir.Undefined)
    one = vectors.builder.insert_element(empty, value, _INT(0))
    return vectors.shuffle(one, empty, [0] * vectors.length)
