"""What the loops of depthwise convolution look up: taps, and segments of rows that see the same ones."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.vector.tile import vector_length

Array = np.ndarray[Any, Any]
PLAIN, STRIDED, PHASES = range(3)
"""Kinds: stride 1 along rows, stride 2, and the gradient of x of stride 2."""
_BLOCK_BYTES = 16 << 10
_LEAST_ROWS = 8
"""Rows that are computed before the next column of runs: so many that the cache holds them, but not fewer."""
_MASKED_LANES = 8
"""Lanes (float32) that a processor has at least that can mask its loads."""


class Layout(NamedTuple):
    """Sizes.

    A run is ``source_run`` columns of the source and ``target_run`` pixels of the target, and a row has ``runs`` of
    them. ``sliding`` says that rows need be read only once, from row ``top`` and column ``left`` on; the first tap's
    place is then ``first_place`` and those of the others follow by ``place_step``. ``paired`` says that two
    planes are computed at once, by half a vector each.
    """

    kind: int
    channels: int
    taps: int
    source_height: int
    source_width: int
    target_height: int
    target_width: int
    source_run: int
    target_run: int
    runs: int
    block: int
    sliding: bool
    top: int
    left: int
    first_place: int
    place_step: int
    paired: bool


class Plan(NamedTuple):
    """A layout with its tables: taps, flat, and segments, flat (see `runs` and `loops`)."""

    layout: Layout
    taps: Array
    segments: Array
    cycles: float


class _Axis(NamedTuple):
    """Sizes of source and target; and for each phase of the target its taps as (shift, place), by shift."""

    source: int
    target: int
    stride: int
    phases: list[list[tuple[int, int]]]


def fits(problem: Problem) -> bool:
    """Whether each channel has one kernel of its own, over one or two axes, at a stride of 1 or 2 along rows."""
    depthwise = problem.weight[1] == 1 and problem.group == problem.weight[0]
    window = len(problem.kernel) <= 2 and problem.stride[-1] <= 2
    return depthwise and window and vector_length("f4") >= _MASKED_LANES


@functools.lru_cache(maxsize=1024)
def make_plan(problem: Problem) -> Plan:
    """The tables of a pass: of the output or the weights' gradient, or (``transposed``) of the gradient of x."""
    rows, columns = _axes(problem)
    vector, phases = vector_length(f"f{problem.itemsize}"), len(columns.phases)
    sliding = _slides(rows) and _slides(columns) and rows.stride == columns.stride
    paired = sliding and columns.target <= vector // 2
    lanes = vector // 2 if paired else vector
    block = max(_LEAST_ROWS, _BLOCK_BYTES // max(1, columns.source * problem.itemsize))
    taps: list[tuple[int, int, int]] = []
    segments: list[int] = []
    for phase, row_taps in enumerate(rows.phases):
        ranges = []
        for column_taps in columns.phases:
            ranges.append((len(taps), len(column_taps)))
            for (row, i), (column, j) in itertools.product(row_taps, column_taps):
                taps.append((row * columns.source + column, column, i * problem.kernel[-1] + j))
        segments += itertools.chain.from_iterable(_segments(rows, phase, ranges, block))
    layout = Layout(
        kind=PHASES if phases == 2 else STRIDED if columns.stride == 2 else PLAIN,
        channels=problem.weight[0],
        taps=problem.taps,
        source_height=rows.source,
        source_width=columns.source,
        target_height=rows.target,
        target_width=columns.target,
        source_run=lanes * columns.stride,
        target_run=lanes * phases,
        runs=-(-columns.target // (lanes * phases)),
        block=block,
        sliding=sliding,
        top=rows.phases[0][0][0] if sliding else 0,
        left=columns.phases[0][0][0] if sliding else 0,
        first_place=taps[0][2] if sliding else 0,
        place_step=taps[1][2] - taps[0][2] if sliding else 0,
        paired=paired,
    )
    runs = rows.target * layout.runs / len(rows.phases) / phases
    return Plan(
        layout, np.array(taps, np.int64).reshape(-1), np.array(segments, np.int64), 100 + 2 * problem.taps * runs
    )


def _slides(axis: _Axis) -> bool:
    shifts = [shift for shift, _ in axis.phases[0]]
    return len(axis.phases) == 1 and axis.stride <= 2 and shifts == [shifts[0] + i for i in range(3)]


def _axes(problem: Problem) -> list[_Axis]:
    sizes = (problem.source[2:], problem.target[2:], problem.kernel, problem.stride, problem.pad, problem.dilation)
    axes = [_axis(*axis, transposed=problem.transposed) for axis in zip(*sizes, strict=True)]
    return [_Axis(1, 1, 1, [[(0, 0)]])] * (2 - len(axes)) + axes


def _axis(source: int, target: int, kernel: int, stride: int, pad: int, dilation: int, *, transposed: bool) -> _Axis:
    """An axis; a forward pass has one phase, the gradient of x as many as the stride."""
    if not transposed:
        return _Axis(source, target, stride, [[(t * dilation - pad, t) for t in range(kernel)]])
    phases = []
    for phase in range(stride):
        reach = [(phase + pad - t * dilation, t) for t in reversed(range(kernel))]
        phases.append([(shift // stride, t) for shift, t in reach if shift % stride == 0])
    return _Axis(source, target, 1, phases)


def _segments(rows: _Axis, phase: int, ranges: list[tuple[int, int]], block: int) -> Iterator[list[int]]:
    """Rows of a phase that see the same taps, ``block`` of them at most."""
    step = len(rows.phases)
    shifts = [shift for shift, _ in rows.phases[phase]]

    def seen(row: int) -> tuple[int, int]:
        inside = [i for i, shift in enumerate(shifts) if 0 <= row * rows.stride + shift < rows.source]
        return (inside[0], len(inside)) if inside else (0, 0)

    first = 0
    for (skipped, count), group in itertools.groupby(map(seen, range(-(-(rows.target - phase) // step)))):
        last = first + len(list(group))
        bounds = [bound for start, width in ranges for bound in (start + width * skipped, width * count)]
        for row in range(first, last, block):
            length = min(block, last - row)
            yield [phase + row * step, step, length, row * rows.stride, rows.stride, *bounds, *[0] * (4 - len(bounds))]
        first = last
