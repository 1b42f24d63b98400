"""Copies of arrays of which source and target walk along different axes: blocks are transposed in registers."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import pick_run, spread_run, vector_code, vector_length

Array = np.ndarray[Any, Any]
Axis = tuple[int, int, int]
"""Extent, and the steps along it in the source and in the target, in elements."""
_NO_AXIS = (1, 0, 0)
_OUTER = 3


class Walk(NamedTuple):
    """How a copy is walked through.

    ``outer`` are three axes, the first one slowest; ``near`` is the axis along which the source is contiguous, or, in
    a plain ``pick``, the last one of the target; ``last`` the one along which the target is.
    """

    outer: tuple[Axis, Axis, Axis]
    near: Axis
    last: Axis
    block: int
    dtype: str

    @property
    def parts(self) -> int:
        """Blocks of all images."""
        return self.outer[0][0] * self.outer[1][0] * self.outer[2][0] * -(-self.near[0] // self.block)


@functools.lru_cache(maxsize=4096)
def plan(shape: tuple[int, ...], source: tuple[int, ...], target: tuple[int, ...], itemsize: int) -> Walk | None:
    """The walk of a copy between arrays of these strides, in bytes; None where rows are contiguous, or too short."""
    if itemsize not in (4, 8) or any(stride % itemsize or stride <= 0 for stride in source + target):
        return None
    axes = _merged([(n, s // itemsize, t // itemsize) for n, s, t in zip(shape, source, target, strict=True) if n > 1])
    if not axes or axes[-1][2] != 1 or axes[-1][1] == 1:
        return None
    last = axes.pop()
    near = next((axis for axis in axes if axis[1] == 1), None)
    if near is not None:
        axes.remove(near)
    if len(axes) > _OUTER:
        return None
    length = vector_length(f"f{itemsize}")
    if max(last[0], near[0] if near is not None else 0) < length:
        return None
    slow, middle, fast = [_NO_AXIS] * (_OUTER - len(axes)) + axes
    return Walk((slow, middle, fast), near or _NO_AXIS, last, length, f"f{itemsize}")


def _merged(axes: list[Axis]) -> list[Axis]:
    """The axes, those as one that follow each other in source and target."""
    merged: list[Axis] = []
    for n, s, t in axes:
        if merged and merged[-1][1:] == (n * s, n * t):
            n *= merged.pop()[0]
        merged.append((n, s, t))
    return merged


def flat(array: Array, walk: Walk) -> Array:
    """The array's first element, for loops that find the others by steps."""
    first: Array = array[(slice(1),) * array.ndim].reshape(1)
    return first.view(walk.dtype)


@vector_code
def _turn(vectors, target, target_start, target_step, source, source_start, source_step):
    """``target[i * target_step + j] = source[j * source_step + i]`` for a vector's length of i and of j."""
    builder = vectors.builder
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    lines = range(vectors.length)
    rows = [vectors.load(vectors.at(come_from, builder.mul(source_step, vectors.index(j)))) for j in lines]
    half = vectors.length // 2
    low, high = (
        [lane + side for lane in part for side in (0, vectors.length)] for part in (lines[:half], lines[half:])
    )
    for _ in range(half.bit_length()):
        # The first half of all elements is interleaved with the second, until each has come to its place.
        pairs = list(zip(rows[:half], rows[half:], strict=True))
        rows = [vectors.shuffle(a, b, picks) for a, b in pairs for picks in (low, high)]
    for i, row in enumerate(rows):
        vectors.store(row, vectors.at(to, builder.mul(target_step, vectors.index(i))))


@njit(nogil=True, cache=True)
def copy_parts(source, target, walk, block, start, stop):
    """Copy parts [start, stop) of a walk, whose axes are given as numbers."""
    ((_, slow_from, slow_to), (middle, middle_from, middle_to), (fast, fast_from, fast_to)), near, last = walk
    blocks = -(-near[0] // block)
    first, rest = start % blocks * block, start // blocks
    k, rest = rest % fast, rest // fast
    j, i = rest % middle, rest // middle
    for _ in range(start, stop):
        at_from = i * slow_from + j * middle_from + k * fast_from + first
        at_to = i * slow_to + j * middle_to + k * fast_to + first * near[2]
        if near[0] - first >= block:
            _copy_block(source, at_from, target, at_to, near, last, block)
        else:
            for row in range(near[0] - first):
                pick_run(target, at_to + row * near[2], source, at_from + row, last[1], last[0])
        # Counted on rather than divided anew, which would take longer than short rows.
        first += block
        if first >= near[0]:
            first, k = 0, k + 1
            if k == fast:
                k, j = 0, j + 1
                if j == middle:
                    j, i = 0, i + 1


@njit(inline="always")
def _copy_block(source, at_from, target, at_to, near, last, block):
    """Turn a whole block of rows, with what is left of each by numbers."""
    whole = last[0] // block * block
    for j in range(0, whole, block):
        _turn(target, at_to + j, near[2], source, at_from + j * last[1], last[1])
    for j in range(whole, last[0]):
        spread_run(target, at_to + j, near[2], source, at_from + j * last[1], block)
