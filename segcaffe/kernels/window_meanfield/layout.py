"""How images, weights and windows lie in memory, for the compiled loops of symmetric windows.

Images lie as rows: (N, H, lines, pitch), one line a channel, with zeros behind each line's pixels, and `Grid.lead`
zeros before the first and behind the last line. Of a window's taps only those behind its centre have weights of their
own ("pairs"): the weight between two pixels is the same seen from either. Pairs that leave the image have weight 0.

Two rows of pixels, y and y + down, are taken together, since their windows have all rows but one in common. With a
window of three rows (X are the pixels, o their neighbours)::

    row             window of y     window of y + down
    y - down        o o o                               for the first alone
    y               o X o           o o o               for both: each neighbour is loaded once
    y + down        o o o           o X o               for both
    y + 2 * down                    o o o               for the second alone

Only the taps behind the centres are pairs: in the first window those right of its X and below.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any, NamedTuple

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import copy_run

TAPS = 26
"""Taps whose sums are made in the registers at a time, unless a row of the window has more."""
PARTS = 16
"""Into how many sums the gradients of the matrices are divided."""


class Grid(NamedTuple):
    """Sizes of an image's rows; ``length`` is a vector register's, ``strip`` what one call of ``multiply_*`` takes."""

    height: int
    width: int
    pitch: int
    lead: int
    length: int
    strip: int


class Taps(NamedTuple):
    """A window: its height and width in taps, and its dilations."""

    high: int
    wide: int
    down: int
    right: int


class Source(NamedTuple):
    """Images whose neighbours are summed: ``total`` lines a row, taken as many at a time as ``group`` has elements."""

    group: tuple[int, ...]
    total: int
    flat: Any


class Compared(NamedTuple):
    """Two stacks of images, ``size`` numbers each: rows of ``lines``, of which the first ``channels`` are compared."""

    a: Any
    b: Any
    size: int
    lines: int
    channels: int


class Sums(NamedTuple):
    """A thread's memory: sums of two rows, and the table of taps."""

    acc: Any
    table: Any


class Divisor(NamedTuple):
    """What averages are divided by: whether taps outside count; the inverses, and where they begin."""

    outside: bool
    inverse: Any
    at: int


class Target(NamedTuple):
    """Where averages go: from line ``first`` on of rows of ``lines``, one for each class."""

    flat: Any
    lines: int
    first: int
    classes: int


class Matrix(NamedTuple):
    """A factor of lines that lie ``offsets`` apart: tiles of ROWS rows, and ROWS zeros."""

    packed: Any
    offsets: Any
    zeros: Any


class Gradients(NamedTuple):
    """Rows of ``lines`` for each window, ``apart`` numbers apart."""

    flat: Any
    apart: int
    lines: int


@njit(inline="always")
def line_at(grid, row, lines, line):
    """Where a line's first pixel is."""
    return grid.lead + (row * lines + line) * grid.pitch


@njit(inline="always")
def pair_of_rows(item, grid, down):
    """The image and the first row of a work item; the second is ``down`` further, and either may not exist.

    Rows that are neighbours of each other come one after the other, so that what they share stays in the cache.
    """
    several = -(-grid.height // (2 * down))
    k = item % (several * down)
    return item // (several * down), k % several * 2 * down + k // several


@njit(inline="always")
def overlap(width, shift):
    """The pixels x of a row for which x + shift is in it too; (width, width) if there are none."""
    left, right = max(0, -shift), min(width, width - shift)
    return (left, right) if left < right else (width, width)


@njit(inline="always")
def shift_of(taps, j):
    """How far to the right of the centre column j of a window is."""
    return (j - taps.wide // 2) * taps.right


@njit(nogil=True, cache=True)
def to_rows(images, rows, lines, grid, start, stop):
    """Copy rows [start, stop) of (N, C, H, W), counted over all images."""
    _, channels, height, width = images.shape
    flat = images.reshape(-1)
    for row in range(start, stop):
        n, y = row // height, row % height
        for c in range(channels):
            copy_run(rows, line_at(grid, row, lines, c), flat, ((n * channels + c) * height + y) * width, width)
