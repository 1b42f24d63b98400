"""Mean-field inference with symmetric windows: what is kept between passes, and how the work is divided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segcaffe.kernels.im2dist import FAR
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS, strip_length, vector_length
from segcaffe.kernels.window_meanfield import loops
from segcaffe.kernels.window_meanfield.loops import TAPS, Grid, Taps
from segcaffe.kernels.window_meanfield.tiles import DIFFERENCES, LINES, OFFSETS, TABLE
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]

_LEAST_EXPONENT = 1e4
"""A removed neighbour's argument of the exponential function at least, so that its weight is 0."""
_LARGEST_INVERSE = 1e30
"""Weights are not scaled by the largest of a window; where their sum is less than this one's inverse, they are lost."""
_ALIGN_BYTES = 64
_PARTS = 16
"""Into how many sums the gradients of the matrices are divided."""


@dataclass(frozen=True)
class Filter:
    """A window of the inference: its geometry, the factor of its distances, and who counts as a neighbour."""

    window: Window
    scale: float
    remove_center: bool
    remove_bounds: bool

    @property
    def taps(self) -> Taps:
        """The window as compiled functions take it."""
        return Taps(*self.window.kernel, *self.window.dilation)

    @property
    def offsets(self) -> tuple[int, ...]:
        """As many elements as taps of a row are compared at a time; compiled functions look at their number only."""
        wide = self.window.kernel[1]
        return (0,) * math.ceil(wide / math.ceil(wide / OFFSETS))

    @property
    def pairs(self) -> int:
        """Taps behind the centre."""
        return self.window.taps // 2

    def is_possible(self) -> bool:
        """Whether the window is symmetric around every pixel and its weights fall with distance."""
        axes = zip(self.window.kernel, self.window.pad, self.window.dilation, strict=True)
        symmetric = all(k % 2 == 1 and 2 * p == d * (k - 1) for k, p, d in axes)
        return symmetric and self.window.stride == (1, 1) and self.scale * FAR > _LEAST_EXPONENT


class Rows:
    """Images as rows (see `loops`): ``images`` of them behind one another, ``size`` numbers each, once allocated."""

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
    """Whether `Inference` can work on images of that width."""
    return width >= vector_length(dtype) and all(one.is_possible() for one in filters)


class Inference:
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
        self.shape, self.filters, self.iterations = shape, tuple(filters), iterations
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
        self._back, self._pairs = Rows(1, num, self.classes, grid), [Rows(1, num, one.pairs, grid) for one in filters]
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
        self._over_rows(lambda a, b: loops.begin(q, first, total, grid, self._scores(), a, b), 2)
        packed, zeros = _pack(-np.concatenate(list(matrices), 1), self.dtype), np.zeros(ROWS, self.dtype)
        offsets = np.arange(self.filtered.lines) * grid.pitch
        for i in range(self.iterations):
            p, filtered, last = self.probabilities.image(i), self.filtered.image(i), i + 1 == self.iterations
            following = p if last else self.probabilities.image(i + 1)
            for index in range(len(self.filters)):
                self._average(index, p, filtered)
            # Also False where there is a NaN.
            if i == 0 and not self.inverse.max() < _LARGEST_INVERSE:
                return False
            arrays = filtered, offsets, packed, zeros, unary, out, following, total, last
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
        sums = np.zeros((_PARTS, -(-self.classes // ROWS), _whole(count * self.classes, STREAMS), ROWS), self.dtype)
        packed = _pack(-np.concatenate(list(matrices), 1).T, self.dtype)
        q_grad[...] = out_grad
        unary_grad.fill(0)
        for i in reversed(range(self.iterations)):
            self._message_gradient(i, q_grad, unary_grad, packed, sums)
            for index in range(count):
                self._spread(index, i, back, index > 0)
            p = self.probabilities.image(i)
            self._over_rows(partial(loops.softmax_gradient, back, p, self.total, grid, q_grad), 4)
        for index, guide_grad in enumerate(guide_grads):
            if guide_grad is not None:
                self._guide_gradient(index, guide_grad)
        found = sums.sum(0).transpose(0, 2, 1).reshape(-1, sums.shape[2])[: self.classes, : count * self.classes]
        grads: Array = -found.reshape(self.classes, count, self.classes).transpose(1, 0, 2)
        return grads

    def _update(self, arrays: tuple[Any, ...], start: int, stop: int) -> None:
        loops.update(*arrays, self.grid, self._scores(), start, stop)

    def _weigh(self, index: int, guide: Array) -> None:
        """Compute a window's weights from its guide."""
        one, grid = self.filters[index], self.grid
        channels, lines, rows = guide.shape[1], self.guides[index].lines, self.guides[index].flat
        self._over_rows(lambda a, b: loops.to_rows(guide, rows, lines, grid, a, b), 8)
        weights, factor = self.weights[index].flat, self.dtype.type(-0.5 * one.scale)

        def part(start: int, stop: int) -> None:
            sums = self._comparison(one)
            loops.weigh(one.offsets, rows, lines, channels, weights, one.taps, grid, factor, sums, start, stop)

        self._over_pairs(one, part)

    def _average(self, index: int, p: Array, filtered: Array) -> None:
        one, grid, inverse_at = self.filters[index], self.grid, index * self.rows * self.grid.pitch
        center, outside = not one.remove_center, not one.remove_bounds

        def part(start: int, stop: int) -> None:
            loops.average(
                self.together, self.total, p, self.weights[index].flat, one.taps, grid, self.classes, center, outside,
                self.inverse, inverse_at, filtered, self.filtered.lines, index * self.classes,
                *self._sums(one, self.total), start, stop,
            )  # fmt: skip

        self._over_pairs(one, part)

    def _spread(self, index: int, iteration: int, back: Array, adds: bool) -> None:
        one, grid = self.filters[index], self.grid
        assert self._gradients is not None
        g = self._gradients.image(index * self.iterations + iteration)

        def part(start: int, stop: int) -> None:
            loops.spread(
                self.together, self.total, g, self.weights[index].flat, one.taps, grid, self.classes,
                not one.remove_center, back, adds, *self._sums(one, self.total), start, stop,
            )  # fmt: skip

        self._over_pairs(one, part)

    def _message_gradient(self, i: int, q_grad: Array, unary_grad: Array, packed: Array, sums: Array) -> None:
        grid, lines, gradients = self.grid, self.filtered.lines, self._gradients
        assert gradients is not None
        filtered, offsets = self.filtered.image(i), np.arange(self.classes) * grid.pitch
        g, apart, zeros = (
            gradients.flat[i * gradients.size :],
            self.iterations * gradients.size,
            np.zeros(ROWS, self.dtype),
        )

        def part(start: int, stop: int) -> None:
            scores = np.zeros(_whole(self.classes, ROWS) * grid.pitch, self.dtype)
            messages = np.zeros(_whole(lines, ROWS) * grid.pitch, self.dtype)
            loops.message_gradient(
                q_grad, unary_grad, filtered, offsets, lines, packed, zeros, self.inverse, g, apart, self.total,
                sums.reshape(-1), _PARTS, grid, scores, messages, start, stop,
            )  # fmt: skip

        parallel.run(_PARTS, part)

    def _guide_gradient(self, index: int, guide_grad: Array) -> None:
        one, grid, guide, gradients = self.filters[index], self.grid, self.guides[index], self._gradients
        assert gradients is not None
        pairs, weights = self._pairs[index].flat, self.weights[index].flat
        each = self.iterations * gradients.size
        g, p = gradients.flat[index * each : (index + 1) * each], self.probabilities.flat

        def compare(start: int, stop: int) -> None:
            loops.pair_gradients(
                one.offsets, g, p, gradients.size, self.total, self.classes + 1, weights, pairs, one.taps, grid,
                self._comparison(one), start, stop,
            )  # fmt: skip

        together, factor = (0,) * (guide.lines // -(-guide.lines // DIFFERENCES)), self.dtype.type(-one.scale)

        def gather(start: int, stop: int) -> None:
            loops.guide_gradient(
                together, guide.lines, guide.flat, pairs, one.taps, grid, factor, guide_grad,
                *self._sums(one, guide.lines), start, stop,
            )  # fmt: skip

        self._over_pairs(one, compare)
        self._over_pairs(one, gather)

    def _over_rows(self, part: Callable[[int, int], None], grain: int) -> None:
        parallel.run(self.rows, part, grain)

    def _over_pairs(self, one: Filter, part: Callable[[int, int], None]) -> None:
        down = one.window.dilation[0]
        parallel.run(self.shape[0] * -(-self.grid.height // (2 * down)) * down, part, 2)

    def _scores(self) -> Array:
        return scratch("window_scores", _whole(self.classes, ROWS) * self.grid.pitch, self.dtype)

    def _comparison(self, one: Filter) -> Array:
        """The calling thread's sums of a comparison."""
        return scratch("window_sums", 2 * len(one.offsets) * self.grid.pitch, self.dtype)

    def _sums(self, one: Filter, lines: int) -> tuple[Array, Array]:
        """The calling thread's sums of two rows, and table."""
        sums = scratch("window_sums", 2 * lines * self.grid.pitch, self.dtype)
        return sums, scratch("window_table", TABLE * max(TAPS, one.window.kernel[1]), np.int64)


def _grid(height: int, width: int, filters: Sequence[Filter], dtype: Any) -> Grid:
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


def _pack(matrix: Array, dtype: Any) -> Array:
    """A matrix in tiles of ROWS rows, flat: (tile, column, ROWS)."""
    rows, depth = matrix.shape
    whole = np.zeros((_whole(rows, ROWS), depth), dtype)
    whole[:rows] = matrix
    return np.ascontiguousarray(whole.reshape(-1, ROWS, depth).transpose(0, 2, 1)).reshape(-1)
