"""Mean-field inference by pairs of pixels: what is kept between passes, and how the work is divided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from segcaffe.kernels.im2dist import FAR
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS, strip_length, vector_length
from segcaffe.kernels.window_meanfield import Filter, compare, gather, iterate
from segcaffe.kernels.window_meanfield.layout import (
    PARTS,
    TAPS,
    Compared,
    Divisor,
    Gradients,
    Grid,
    Matrix,
    Source,
    Sums,
    Taps,
    Target,
    to_rows,
)
from segcaffe.kernels.window_meanfield.tiles import DIFFERENCES, LINES, OFFSETS, TABLE
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_LEAST_EXPONENT = 1e4
"""A removed neighbour's argument of the exponential function at least, so that its weight is 0."""
_LARGEST_INVERSE = 1e30
"""Weights are not scaled by the largest of a window; where their sum is less than this one's inverse, they are lost."""
_ALIGN_BYTES = 64


class Pairing:
    """A filter, as its compiled loops take it."""

    def __init__(self, given: Filter) -> None:
        self.window, self.scale = given.window, given.scale
        self.center, self.outside = not given.remove_center, not given.remove_bounds
        self.taps = Taps(*self.window.kernel, *self.window.dilation)
        wide = self.window.kernel[1]
        # As many elements as taps of a row are compared at a time; compiled functions look at their number only.
        self.offsets = (0,) * math.ceil(wide / math.ceil(wide / OFFSETS))
        self.pairs = self.window.taps // 2
        """Taps behind the centre."""


class Rows:
    """Images as rows (see `layout`): ``images`` of them behind one another, ``size`` numbers each, once allocated."""

    flat: Array

    def __init__(self, images: int, num: int, lines: int, grid: Grid) -> None:
        self.images, self.lines = images, lines
        self.size = num * grid.height * lines * grid.pitch + 2 * grid.lead

    def image(self, index: int) -> Array:
        """One of the images, flat."""
        return self.flat[index * self.size : (index + 1) * self.size]


def _allocate(arrays: Sequence[Rows], dtype: Any) -> None:
    """Give rows their memory, zeros: in one piece, which the system can map with large pages, by cache lines."""
    sizes = [rows.images * rows.size for rows in arrays]
    memory = np.empty(sum(sizes) + _ALIGN_BYTES // np.dtype(dtype).itemsize, dtype)
    memory.fill(0)
    at = -memory.ctypes.data % _ALIGN_BYTES // memory.itemsize
    for rows, size in zip(arrays, sizes, strict=True):
        rows.flat = memory[at : at + size]
        at += size


def is_possible(width: int, filters: Sequence[Filter], dtype: Any) -> bool:
    """Whether `Pairs` can work on images of that width: weights must be symmetric and fall with distance."""
    return width >= vector_length(dtype) and all(map(_is_symmetric, filters))


def _is_symmetric(one: Filter) -> bool:
    """Whether the window is symmetric around every pixel and its weights fall with distance."""
    axes = zip(one.window.kernel, one.window.pad, one.window.dilation, strict=True)
    symmetric = all(k % 2 == 1 and 2 * p == d * (k - 1) for k, p, d in axes)
    return symmetric and one.window.stride == (1, 1) and one.scale * FAR > _LEAST_EXPONENT


class Pairs:
    """Mean-field inference on images of one shape (N, C, H, W), and its gradient; memory is kept between calls.

    Parameters
    ----------
    shape:
        Of the scores.
    channels:
        Of each window's guide.
    filters:
        The windows; `is_possible` of them.
    iterations:
        How many.
    dtype:
        float32 or float64; of all arrays.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Sequence[int],
        filters: Sequence[Filter],
        iterations: int,
        dtype: Any,
    ) -> None:
        self.shape, self.filters, self.iterations = shape, [Pairing(one) for one in filters], iterations
        num, self.classes, height, width = shape
        self.dtype = np.dtype(dtype)
        self.grid = grid = _grid(height, width, self.filters, self.dtype)
        self.rows = num * height
        self.total = _in_groups(self.classes + 1, LINES)
        self.together = (0,) * (self.total // -(-self.total // LINES))
        self.probabilities = Rows(iterations, num, self.total, grid)
        self.filtered = Rows(iterations, num, len(filters) * self.classes, grid)
        self.weights = [Rows(1, num, one.pairs, grid) for one in self.filters]
        self.guides = [Rows(1, num, _in_groups(count, DIFFERENCES), grid) for count in channels]
        _allocate([self.probabilities, self.filtered, *self.weights, *self.guides], self.dtype)
        self.inverse = np.zeros(len(filters) * self.rows * grid.pitch, self.dtype)
        for i in range(iterations):
            lines = self.probabilities.image(i)[grid.lead : -grid.lead].reshape(self.rows, self.total, grid.pitch)
            lines[:, self.classes, :width] = 1
        self._back = Rows(1, num, self.classes, grid)
        self._pairs = [Rows(1, num, one.pairs, grid) for one in self.filters]
        self._gradients: Rows | None = None

    def forward(self, unary: Array, q: Array, guides: Sequence[Array], matrices: Array, out: Array) -> bool:
        """Infer ``out`` (N, C, H, W); False if weights are too small for it, and ``out`` is unspecified then.

        Each iteration is p = softmax(q), q = unary - sum over windows w of matrices[w] · average_w(p).

        Parameters
        ----------
        unary, q:
            (N, C, H, W): scores, and those of the first iteration's probabilities.
        guides:
            (N, E, H, W) for each window.
        matrices:
            (windows, C, C).
        out:
            Written whole.
        """
        for index, guide in enumerate(guides):
            self._weigh(index, guide)
        grid, total = self.grid, self.total
        first = self.probabilities.image(0)
        self._over_rows(lambda a, b: iterate.begin(q, first, total, grid, self._scores(), a, b), 2)
        matrix = self._matrix(-np.concatenate(list(matrices), 1))
        for i in range(self.iterations):
            p, filtered, last = self.probabilities.image(i), self.filtered.image(i), i + 1 == self.iterations
            following = p if last else self.probabilities.image(i + 1)
            for index in range(len(self.filters)):
                self._average(index, p, filtered)
            # Also False where there is a NaN.
            if i == 0 and not self.inverse.max() < _LARGEST_INVERSE:
                return False
            arrays = filtered, matrix, unary, out, following, total, last
            self._over_rows(partial(self._update, arrays), 2)
        return True

    def backward(
        self, out_grad: Array, matrices: Array, unary_grad: Array, q_grad: Array, guide_grads: Sequence[Array | None]
    ) -> Array:
        """Write the gradients of what `forward` took, from that of ``out``; returns that of ``matrices``.

        ``guide_grads`` are arrays to be written, or None where none is wanted. Sums have a fixed order.
        """
        grid, count = self.grid, len(self.filters)
        if self._gradients is None:
            self._gradients = Rows(count * self.iterations, self.shape[0], self.total, grid)
            _allocate([self._gradients, self._back, *self._pairs], self.dtype)
        back = self._back.flat
        sums = np.zeros((PARTS, -(-self.classes // ROWS), _whole(count * self.classes, STREAMS), ROWS), self.dtype)
        matrix = self._matrix(-np.concatenate(list(matrices), 1).T)
        q_grad[...] = out_grad
        unary_grad.fill(0)
        for i in reversed(range(self.iterations)):
            self._message_gradient(i, q_grad, unary_grad, matrix, sums)
            for index in range(count):
                self._spread(index, i, back, index > 0)
            p = self.probabilities.image(i)
            self._over_rows(partial(iterate.softmax_gradient, back, p, self.total, grid, q_grad), 4)
        for index, guide_grad in enumerate(guide_grads):
            if guide_grad is not None:
                self._guide_gradient(index, guide_grad)
        found = sums.sum(0).transpose(0, 2, 1).reshape(-1, sums.shape[2])[: self.classes, : count * self.classes]
        grads: Array = -found.reshape(self.classes, count, self.classes).transpose(1, 0, 2)
        return grads

    def _update(self, arrays: tuple[Any, ...], start: int, stop: int) -> None:
        iterate.update(*arrays, self.grid, self._scores(), start, stop)

    def _weigh(self, index: int, guide: Array) -> None:
        """Compute a window's weights from its guide."""
        one, grid = self.filters[index], self.grid
        channels, lines, rows = guide.shape[1], self.guides[index].lines, self.guides[index].flat
        self._over_rows(lambda a, b: to_rows(guide, rows, lines, grid, a, b), 8)
        weights, factor = self.weights[index].flat, self.dtype.type(-0.5 * one.scale)
        self._compare(one, Compared(rows, rows, rows.size, lines, channels), None, factor, weights)

    def _compare(self, one: Pairing, given: Compared, weights: Array | None, factor: Any, out: Array) -> None:
        def part(start: int, stop: int) -> None:
            sums = scratch("window_sums", 2 * len(one.offsets) * self.grid.pitch, self.dtype)
            compare.pairs(one.offsets, given, weights, factor, out, one.taps, self.grid, sums, start, stop)

        self._over_pairs(one, part)

    def _average(self, index: int, p: Array, filtered: Array) -> None:
        one, source = self.filters[index], Source(self.together, self.total, p)
        divisor = Divisor(one.outside, self.inverse, index * self.rows * self.grid.pitch)
        target = Target(filtered, self.filtered.lines, index * self.classes, self.classes)
        fixed = source, self.weights[index].flat, one.taps, self.grid, one.center, divisor, target

        def part(start: int, stop: int) -> None:
            gather.average(*fixed, self._sums(one, self.total), start, stop)

        self._over_pairs(one, part)

    def _spread(self, index: int, iteration: int, back: Array, adds: bool) -> None:
        one = self.filters[index]
        assert self._gradients is not None
        source = Source(self.together, self.total, self._gradients.image(index * self.iterations + iteration))
        fixed = source, self.weights[index].flat, one.taps, self.grid, one.center, back, self.classes, adds

        def part(start: int, stop: int) -> None:
            gather.spread(*fixed, self._sums(one, self.total), start, stop)

        self._over_pairs(one, part)

    def _message_gradient(self, i: int, q_grad: Array, unary_grad: Array, matrix: Matrix, sums: Array) -> None:
        gradients = self._gradients
        assert gradients is not None
        made = Gradients(gradients.flat[i * gradients.size :], self.iterations * gradients.size, self.total)
        arrays = q_grad, unary_grad, self.filtered.image(i), self.filtered.lines, matrix, self.inverse, made
        parallel.run(PARTS, lambda a, b: iterate.message_gradient(*arrays, sums.reshape(-1), self.grid, a, b))

    def _guide_gradient(self, index: int, guide_grad: Array) -> None:
        one, guide, gradients = self.filters[index], self.guides[index], self._gradients
        assert gradients is not None
        pairs, each = self._pairs[index].flat, self.iterations * gradients.size
        g, p = gradients.flat[index * each : (index + 1) * each], self.probabilities.flat
        given, factor = Compared(g, p, gradients.size, self.total, self.classes + 1), self.dtype.type(-one.scale)
        self._compare(one, given, self.weights[index].flat, factor, pairs)
        group = (0,) * (guide.lines // -(-guide.lines // DIFFERENCES))
        fixed = Source(group, guide.lines, guide.flat), pairs, one.taps, self.grid, factor, guide_grad

        def part(start: int, stop: int) -> None:
            gather.guide_gradient(*fixed, self._sums(one, guide.lines), start, stop)

        self._over_pairs(one, part)

    def _over_rows(self, part: Callable[[int, int], None], grain: int) -> None:
        parallel.run(self.rows, part, grain)

    def _over_pairs(self, one: Pairing, part: Callable[[int, int], None]) -> None:
        down = one.window.dilation[0]
        parallel.run(self.shape[0] * -(-self.grid.height // (2 * down)) * down, part, 2)

    def _scores(self) -> Array:
        return scratch("window_scores", _whole(self.classes, ROWS) * self.grid.pitch, self.dtype)

    def _matrix(self, values: Array) -> Matrix:
        """A matrix in tiles of ROWS rows, flat: (tile, column, ROWS)."""
        rows, depth = values.shape
        whole = np.zeros((_whole(rows, ROWS), depth), self.dtype)
        whole[:rows] = values
        packed = np.ascontiguousarray(whole.reshape(-1, ROWS, depth).transpose(0, 2, 1)).reshape(-1)
        return Matrix(packed, np.arange(depth) * self.grid.pitch, np.zeros(ROWS, self.dtype))

    def _sums(self, one: Pairing, lines: int) -> Sums:
        """The calling thread's."""
        sums = scratch("window_sums", 2 * lines * self.grid.pitch, self.dtype)
        return Sums(sums, scratch("window_table", TABLE * max(TAPS, one.window.kernel[1]), np.int64))


def _grid(height: int, width: int, filters: Sequence[Pairing], dtype: Any) -> Grid:
    length, strip = vector_length(dtype), strip_length(dtype)
    # Taps that only fill up the last comparison of a row lie behind the window.
    reach = max(one.window.dilation[1] * (one.window.kernel[1] + OFFSETS) for one in filters)
    pitch = max(_whole(width + length, length), strip)
    # Before the first line: room for the farthest neighbour, and a line of zeros.
    lead = _whole(max(reach + length, pitch), length)
    return Grid(height, width, pitch, lead, length, strip)


def _whole(count: int, step: int) -> int:
    """The smallest multiple of ``step`` that is not less than ``count``."""
    return math.ceil(count / step) * step


def _in_groups(count: int, most: int) -> int:
    """How many make ``count`` lines or a few more, in equal groups of ``most`` at most."""
    return _whole(count, math.ceil(count / math.ceil(count / most)))
