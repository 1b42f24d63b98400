"""Tiles: forward and of image and masks, positions in the lanes; of the weights' gradient, columns in the lanes.

A column is a channel of the image at one tap; `ROWS` channels at a tap are a group, and a panel is as many groups as
make a strip of lanes. Arrays are flat and of one dtype; nothing checks that panels and tiles lie inside them.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils

from segcaffe.kernels.vector.lanes import lanes_code
from segcaffe.kernels.vector.tile import ROWS, STREAMS, Vectors, sum_loop, vector_code


@lanes_code
def mask_group(lanes, panel, at, step, source, start, mask, mask_at, count):
    """``panel[at + p * step + lane] = mask[mask_at + p] * source[start + p * ROWS + lane]`` for p < count."""
    builder, to = lanes.builder, lanes.at(panel, at)
    come_from, factors = lanes.at(source, start), lanes.at(mask, mask_at)
    with cgutils.for_range_slice(builder, lanes.index(0), count, lanes.index(1)) as (p, _):
        values = lanes.load(lanes.at(come_from, builder.mul(p, lanes.index(ROWS))))
        factor = lanes.splat(builder.load(lanes.at(factors, p)))
        lanes.store(builder.fmul(factor, values), lanes.at(to, builder.mul(p, step)))


@vector_code
def mask_columns(vectors, x, start, mask, mask_at, columns, to, sizes, ahead):
    """``columns[to + c * step + p] = mask[mask_at + p] * x[start + c * plane + p]`` for a strip's positions p.

    ``sizes`` is (channels c, plane, step). Unless ``ahead`` is 0, memory so many elements behind what is read is
    fetched for later.
    """
    builder, (count, plane, step) = vectors.builder, sizes
    source, target, factors = vectors.at(x, start), vectors.at(columns, to), vectors.at(mask, mask_at)
    places = [v * vectors.length for v in range(STREAMS)]
    masks = [vectors.load(vectors.at(factors, place)) for place in places]

    def each(body: Callable[[Any, Any], None]) -> None:
        with cgutils.for_range_slice(builder, vectors.index(0), count, vectors.index(1)) as (c, _):
            body(vectors.at(source, builder.mul(c, plane)), vectors.at(target, builder.mul(c, step)))

    def multiply(come_from: Any, column: Any) -> None:
        for place, factor in zip(places, masks, strict=True):
            value = builder.fmul(vectors.load(vectors.at(come_from, place)), factor)
            vectors.store(value, vectors.at(column, place))

    def fetch(come_from: Any, _: Any) -> None:
        for v in range(STREAMS + 1):
            vectors.prefetch(vectors.at(vectors.at(come_from, ahead), v * vectors.length))

    each(multiply)
    with builder.if_then(builder.icmp_signed("!=", ahead, vectors.index(0))):
        each(fetch)


def _make_add_columns(rows: int) -> Any:
    @vector_code
    def add_columns(vectors, columns, at, packed, packed_at, count, sums, sums_at):
        target, places = vectors.at(sums, sums_at), [n * vectors.length for n in range(rows * STREAMS)]
        before = [vectors.load(vectors.at(target, place)) for place in places]
        given = vectors.at(columns, at), vectors.at(packed, packed_at), count
        for place, value in zip(places, _products(vectors, *given, before), strict=True):
            vectors.store(value, vectors.at(target, place))

    return add_columns


add_columns_1, add_columns_2, add_columns_4, add_columns_8 = (_make_add_columns(rows) for rows in (1, 2, 4, 8))
"""``sums[r, p] += sum over k < count of packed[k * ROWS + r] * columns[k, p]`` for r < rows; count >= 1."""


@vector_code
def write_rows(vectors, sums, sums_at, ending, place, slopes_at, out, out_at, stride):
    """``out[out_at + r * stride + p] = v`` where ``v = sums[r, p] + ending[place + r] > 0``, for ROWS rows of a strip.

    Elsewhere it is v times ``ending[place + slopes_at + r]``, and 0 where that is 0.
    """
    builder = vectors.builder
    source, biases, target = vectors.at(sums, sums_at), vectors.at(ending, place), vectors.at(out, out_at)
    slopes = vectors.at(biases, slopes_at)
    for row in range(ROWS):
        last, slope = (vectors.splat(builder.load(vectors.at(table, row))) for table in (biases, slopes))
        # An infinite value times 0 would not be a number.
        flat = builder.fcmp_ordered("==", slope, vectors.zero)
        line = vectors.at(target, builder.mul(stride, vectors.index(row)))
        for v in range(STREAMS):
            value = builder.fadd(vectors.load(vectors.at(source, (row * STREAMS + v) * vectors.length)), last)
            low = builder.select(flat, vectors.zero, builder.fmul(value, slope))
            value = builder.select(builder.fcmp_ordered("<=", value, vectors.zero), low, value)
            vectors.store(value, vectors.at(line, v * vectors.length))


@vector_code
def fetch_rows(vectors, out, start, step, count, length):
    """Have ``length`` elements of each of ``count`` rows, ``step`` apart, brought nearer for stores."""
    builder, first = vectors.builder, vectors.at(out, start)
    with cgutils.for_range_slice(builder, vectors.index(0), count, vectors.index(1)) as (row, _):
        line = vectors.at(first, builder.mul(row, step))
        with cgutils.for_range_slice(builder, vectors.index(0), length, vectors.index(vectors.length)) as (p, _):
            vectors.prefetch(vectors.at(line, p))


@vector_code
def add_products(vectors, panel, rows, rows_at, count, sums, sums_at):
    """``sums[r, lane] += sum over p < count of rows[rows_at + p * ROWS + r] * panel[p, lane]``; count >= 1."""
    target = vectors.at(sums, sums_at)
    for n, value in enumerate(_products(vectors, panel, vectors.at(rows, rows_at), count)):
        place = vectors.at(target, n * vectors.length)
        vectors.store(vectors.builder.fadd(vectors.load(place), value), place)


@vector_code
def copy_rows(vectors, source, start, step, count, target, to, pitch, ahead):
    """Copy ``count`` rows of ``pitch`` elements, whole vectors, which lie ``step`` apart, one behind the other.

    Unless ``ahead`` is 0, memory so many elements behind what is read is fetched for later.
    """
    builder = vectors.builder
    come_from, target = vectors.at(source, start), vectors.at(target, to)

    def each(body: Callable[[Any, Any], None]) -> None:
        with cgutils.for_range_slice(builder, vectors.index(0), count, vectors.index(1)) as (row, _):
            first, second = builder.mul(row, step), builder.mul(row, pitch)
            with cgutils.for_range_slice(builder, vectors.index(0), pitch, vectors.index(vectors.length)) as (p, _):
                body(vectors.at(come_from, builder.add(first, p)), vectors.at(target, builder.add(second, p)))

    each(lambda element, place: vectors.store(vectors.load(element), place))
    with builder.if_then(builder.icmp_signed("!=", ahead, vectors.index(0))):
        each(lambda element, _: vectors.prefetch(vectors.at(element, ahead)))


@vector_code
def gather_products(vectors, lines, lines_at, pitch, packed, packed_at, count, images, places, shared):
    """Gradients of a strip of masked pixels of ROWS channels at one tap, straight from the registers.

    They are ``g[r, p] = sum over m < count of packed[m, r] * lines[m * pitch + p]``. ``places`` are that of the image's
    gradient in ``images``, how far its channels are apart, and how far behind it the image is; ``shared`` are masks,
    sums, and the place in both. To the gradient goes ``masks[p] * g[r, p]``, to the sums that of ``g[r, p]`` times the
    image over r.
    """
    given = vectors.at(lines, lines_at), vectors.at(packed, packed_at), count
    (at, apart, behind), (masks, sums, tap) = places, shared
    masks, sums, target = vectors.at(masks, tap), vectors.at(sums, tap), vectors.at(images, at)
    image, parts = vectors.at(target, behind), [v * vectors.length for v in range(STREAMS)]
    products = _products(vectors, *given, pitch=pitch)
    factors, totals = ([vectors.load(vectors.at(array, part)) for part in parts] for array in (masks, sums))
    for n, value in enumerate(products):
        v, row = n % STREAMS, vectors.builder.mul(apart, vectors.index(n // STREAMS))
        to, come_from = (vectors.at(vectors.at(array, row), parts[v]) for array in (target, image))
        vectors.store(vectors.multiply_add(factors[v], value, vectors.load(to)), to)
        totals[v] = vectors.multiply_add(value, vectors.load(come_from), totals[v])
    for total, part in zip(totals, parts, strict=True):
        vectors.store(total, vectors.at(sums, part))


def _products(
    vectors: Vectors, panel: Any, rows: Any, count: Any, first: list[Any] | None = None, pitch: Any = None
) -> list[Any]:
    """``first + sum over p < count of rows[p * ROWS + r] * panel[p, lane]``: row after row, STREAMS vectors each.

    The panel's rows lie ``pitch`` apart, or one behind the other.
    """
    builder, pitch = vectors.builder, vectors.index(STREAMS * vectors.length) if pitch is None else pitch
    first = [vectors.zero] * (ROWS * STREAMS) if first is None else first

    def step(p: Any, sums: list[Any]) -> list[Any]:
        line = vectors.at(panel, builder.mul(p, pitch))
        streams = [vectors.load(vectors.at(line, v * vectors.length)) for v in range(STREAMS)]
        factors, totals = vectors.at(rows, builder.mul(p, vectors.index(ROWS))), []
        for row in range(len(first) // STREAMS):
            factor = vectors.splat(builder.load(vectors.at(factors, row)))
            pairs = zip(streams, sums[row * STREAMS : (row + 1) * STREAMS], strict=True)
            totals += [vectors.multiply_add(factor, value, total) for value, total in pairs]
        return totals

    return sum_loop(vectors, count, first, step)
