"""Distances of small windows around every pixel, row by row and channel by channel, on images as they are.

Runs of pixels, as many as a vector register has elements, read beyond both ends of their row. What stands there is
another row; it is weighted by 0, or overwritten. Where nothing stands there, before the array and behind it, a row's
surroundings are copied.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import Vectors, copy_run, sum_loop, vector_code

_PAIRS, _CHANNELS = 4, 4
"""Neighbours, and channels, that are compared at a time."""
_TAPS = 8
"""Neighbours that are gathered from at a time."""


@njit(nogil=True, cache=True)
def forward(image, dist, geometry, length, l1, center, far, start, stop):
    """Output rows [start, stop) of all images; each pair of pixels is computed for the later tap of the two."""
    flat, (_, channels, height, width) = image.reshape(-1), image.shape
    taps, pitch = dist.shape[1], -(-width // length) * length
    scale = image.dtype.type(1.0 if l1 else 0.5)
    chosen, offsets = np.zeros(taps, np.int64), np.zeros(taps + _PAIRS, np.int64)
    sums = np.empty((taps + _PAIRS, pitch), image.dtype)
    for row in range(start, stop):
        n, y = row // height, row % height
        source, base, step, plane = _surroundings(flat, n, y, image.shape, geometry, length)
        count = 0
        for tap in range(taps):
            dy, dx = _shift(tap, geometry)
            left, right = _seen(y + dy, dx, height, width)
            dist[n, tap, y, :left] = far
            dist[n, tap, y, right:] = far
            if 2 * tap + 1 == taps:
                dist[n, tap, y] = center
            elif 2 * tap + 1 > taps and left < right:
                chosen[count], offsets[count] = tap, dy * step + dx
                count += 1
        offsets[count:] = 0
        sums[:count] = 0
        for k in range(0, count, _PAIRS):
            _compare(source, base, plane, channels, offsets, k, sums.reshape(-1), k * pitch, pitch, l1)
        for k in range(count):
            tap = chosen[k]
            dy, dx = _shift(tap, geometry)
            left, right = _seen(y + dy, dx, height, width)
            _scaled(sums[k, left:right], scale, dist[n, tap, y, left:right])
            _scaled(sums[k, left:right], scale, dist[n, taps - 1 - tap, y + dy, left + dx : right + dx])


@njit(nogil=True, cache=True)
def backward(image, dist_grad, image_grad, geometry, length, l1, start, stop):
    """Image rows [start, stop): each pixel gathers over the pairs it belongs to, so that rows are independent."""
    flat, grad, (_, channels, height, width) = image.reshape(-1), image_grad.reshape(-1), image.shape
    taps = dist_grad.shape[1]
    weights, offsets = np.zeros((taps + _TAPS, width), image.dtype), np.zeros(taps + _TAPS, np.int64)
    for row in range(start, stop):
        n, y = row // height, row % height
        source, base, step, plane = _surroundings(flat, n, y, image.shape, geometry, length)
        weights[:] = 0
        offsets[:] = 0
        count = 0
        for tap in range(taps):
            dy, dx = _shift(tap, geometry)
            left, right = _seen(y + dy, dx, height, width)
            if 2 * tap + 1 != taps and left < right:
                own, other = dist_grad[n, tap, y, left:right], dist_grad[n, taps - 1 - tap, y + dy, left + dx :]
                for x in range(right - left):
                    weights[count, left + x] = own[x] + other[x]
                offsets[count] = dy * step + dx
                count += 1
        groups = (max(count, 1) + _TAPS - 1) // _TAPS
        for c in range(channels):
            to = ((n * channels + c) * height + y) * width
            if l1:
                gather_signs(source, base + c * plane, offsets, weights, groups, width, grad, to)
            else:
                gather_differences(source, base + c * plane, offsets, weights, groups, width, grad, to)


@njit(nogil=True, cache=True)
def _surroundings(flat, n, y, shape, geometry, length):
    """The array that holds a row and those that its windows see, where the row begins, and the steps in it.

    The steps are those from a row to the next and from a channel to the next.
    """
    images, channels, height, width = shape
    kh, kw, _, _, _, _, dh, dw = geometry
    above, margin = kh // 2 * dh, kw // 2 * dw
    if above < n * height + y < images * height - 1 - above:
        return flat, (n * channels * height + y) * width, width, height * width
    pitch = width + 2 * margin
    copy = np.zeros((2 * above + 1) * channels * pitch + length, flat.dtype)
    for i in range(max(0, y - above), min(height, y + above + 1)):
        for c in range(channels):
            to = ((i - y + above) * channels + c) * pitch + margin
            copy_run(copy, to, flat, ((n * channels + c) * height + i) * width, width)
    return copy, above * channels * pitch + margin, channels * pitch, pitch


@njit(nogil=True, cache=True)
def _shift(tap, geometry):
    """How far a tap lies from the centre of its window, in rows and columns."""
    kh, kw, _, _, _, _, dh, dw = geometry
    return (tap // kw - kh // 2) * dh, (tap % kw - kw // 2) * dw


@njit(nogil=True, cache=True)
def _seen(y, dx, height, width):
    """The pixels [left, right) of a row whose neighbour, ``dx`` further in row ``y``, lies in the image."""
    left, right = max(0, -dx), min(width, width - dx)
    return (left, right) if 0 <= y < height and left < right else (width, width)


@njit(nogil=True, cache=True)
def _scaled(source, scale, out):
    for i in range(out.size):
        out[i] = source[i] * scale


@njit(inline="always")
def _compare(source, base, plane, channels, offsets, first, sums, at, pitch, l1):
    """Add the differences from some neighbours, of all channels one after the other."""
    whole = channels // _CHANNELS * _CHANNELS
    for c in range(0, whole, _CHANNELS):
        if l1:
            add_distances_4(source, base + c * plane, plane, offsets, first, sums, at, pitch)
        else:
            add_squares_4(source, base + c * plane, plane, offsets, first, sums, at, pitch)
    for c in range(whole, channels):
        if l1:
            add_distances_1(source, base + c * plane, plane, offsets, first, sums, at, pitch)
        else:
            add_squares_1(source, base + c * plane, plane, offsets, first, sums, at, pitch)


def _distance(vectors: Vectors, difference: Any, total: Any) -> Any:
    """``total + |difference|``."""
    kind = ir.FunctionType(vectors.type, [vectors.type])
    name = f"llvm.fabs.v{vectors.length}{'f32' if vectors.type.element == ir.FloatType() else 'f64'}"
    function = cgutils.get_or_insert_function(vectors.builder.module, kind, name)
    return vectors.builder.fadd(total, vectors.builder.call(function, [difference]))


def _square(vectors: Vectors, difference: Any, total: Any) -> Any:
    return vectors.multiply_add(difference, difference, total)


def _make_add(channels: int, term: Any) -> Any:
    @vector_code
    def add(vectors, x, start, plane, offsets, first, sums, at, pitch):
        """``sums[at + k * pitch + p] += sum over c of f(x[c, p] - x[c, p + offset k])`` for p < pitch."""
        builder, offsets, source, totals = (
            vectors.builder,
            vectors.at(offsets, first),
            vectors.at(x, start),
            vectors.at(sums, at),
        )
        lines = [vectors.at(source, builder.mul(plane, vectors.index(c))) for c in range(channels)]
        places = [builder.load(vectors.at(offsets, k)) for k in range(_PAIRS)]
        rows = [vectors.at(totals, builder.mul(pitch, vectors.index(k))) for k in range(_PAIRS)]
        others = [[vectors.at(line, place) for place in places] for line in lines]
        with cgutils.for_range_slice(builder, vectors.index(0), pitch, vectors.index(vectors.length)) as (p, _):
            values = [vectors.load(vectors.at(row, p)) for row in rows]
            for line, neighbours in zip(lines, others, strict=True):
                own = vectors.load(vectors.at(line, p))
                for k, neighbour in enumerate(neighbours):
                    difference = builder.fsub(own, vectors.load(vectors.at(neighbour, p)))
                    values[k] = term(vectors, difference, values[k])
            for row, value in zip(rows, values, strict=True):
                vectors.store(value, vectors.at(row, p))

    return add


add_distances_1, add_distances_4 = (_make_add(channels, _distance) for channels in (1, _CHANNELS))
add_squares_1, add_squares_4 = (_make_add(channels, _square) for channels in (1, _CHANNELS))


def _signed(vectors: Vectors, difference: Any, factor: Any, total: Any) -> Any:
    """``total`` plus the factor with the difference's sign, or plus 0 where there is no difference."""
    builder = vectors.builder
    bits = ir.VectorType(ir.IntType(8 * vectors.itemsize), vectors.length)
    sign = ir.Constant(bits, [1 << (8 * vectors.itemsize - 1)] * vectors.length)
    flipped = builder.xor(builder.and_(builder.bitcast(difference, bits), sign), builder.bitcast(factor, bits))
    differs = builder.fcmp_ordered("!=", difference, vectors.zero)
    return builder.fadd(total, builder.select(differs, builder.bitcast(flipped, vectors.type), vectors.zero))


def _weighted(vectors: Vectors, difference: Any, factor: Any, total: Any) -> Any:
    return vectors.multiply_add(factor, difference, total)


def _make_gather(term: Any) -> Any:
    @vector_code
    def gather(vectors, x, start, offsets, weights, groups, width, out, to):
        """``out[to + p] = sum over k of weights[k, p] * f(x[p] - x[p + offset k])``, ``groups`` times `_TAPS` k."""
        builder, line, target = vectors.builder, vectors.at(x, start), vectors.at(out, to)
        last = builder.sub(width, vectors.index(vectors.length))
        with cgutils.for_range_slice(builder, vectors.index(0), width, vectors.index(vectors.length)) as (begin, _):
            # The last run of a row takes some pixels a second time.
            p = builder.select(builder.icmp_signed("<", begin, last), begin, last)
            here = vectors.at(line, p)
            own = vectors.load(here)

            def step(group: Any, totals: list[Any]) -> list[Any]:
                first = builder.mul(group, vectors.index(_TAPS))
                factors = vectors.at(vectors.at(weights, p), builder.mul(first, width))
                (total,) = totals
                for k in range(_TAPS):
                    offset = builder.load(vectors.at(vectors.at(offsets, first), k))
                    difference = builder.fsub(own, vectors.load(vectors.at(here, offset)))
                    factor = vectors.load(vectors.at(factors, builder.mul(width, vectors.index(k))))
                    total = term(vectors, difference, factor, total)
                return [total]

            (value,) = sum_loop(vectors, groups, [vectors.zero], step)
            vectors.store(value, vectors.at(target, p))

    return gather


gather_signs, gather_differences = _make_gather(_signed), _make_gather(_weighted)
