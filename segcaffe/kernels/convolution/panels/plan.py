"""Panels of weights, groups of pixels and bands of an image, from shapes alone."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution.problem import Axes, Grid, Problem, Task
from segcaffe.kernels.vector.tile import ROWS, STREAMS, vector_length

Array = np.ndarray[Any, Any]
_BAND_BYTES = 1 << 18
"""What the copy of a band of the image may occupy of the second-level cache."""
_NEAR_BYTES, _FEW_ROWS = 5 << 20, 32
"""What an image and twice its output may take for single pixels to be read one by one; unless outputs are few."""
_ITEMS = 6
"""Pieces of work that each thread should have, where there are several."""
_WAY_BYTES = 4096
"""Bytes after which addresses have the same place in the first-level cache."""
_LEAST_TERMS = 16
"""Terms of a sum that are worth it."""
_MORE = 1.1, 2.1, 4.0
"""Times as much as other ways that may be computed, as each of it takes less time: a little, more of single pixels with
few outputs, and much more where pixels are few."""
_LITTLE = 1 << 18
"""Products of an image that may be of no use in any case: other ways take as long to begin. Nets of small layers then
have one kind of convolution, which halves their first run and is all that the caches must hold."""


class Layout(NamedTuple):
    """Sizes that the loops need; widths count elements, of which a pixel has several where channels lie in blocks.

    ``panels``, ``bands`` and ``parts`` of a band's groups count pieces of work of an image, ``pixels`` and ``outputs``
    are those of an image, ``image`` its elements. Where ``copied``, a band's rows are copied with their padding:
    ``size`` is (depth, height, width) of the copy, ``low`` the padding before, ``source`` the image and ``step`` how
    many of its rows are between the first rows of two rows of pixels. ``apart`` is how many elements are from one
    pixel of the output to the next: 1, or a vector where its channels lie in blocks.
    """

    images: int
    panels: int
    bands: int
    pixels: int
    outputs: int
    channels: int
    image: int
    copied: bool
    parts: int
    source: Axes
    size: Axes
    low: Axes
    step: int
    vector: int
    apart: int


class Tables(NamedTuple):
    """What the loops look up.

    ``offsets`` is (terms,), from a pixel's place to its factors; ``places`` (pixels of a band and some,), that of its
    first factor; ``bands`` (bands, 4) the first row of pixels, the first pixel, and its range of ``groups``; ``groups``
    (groups, 2) the first pixel in the band, and the size; ``panels`` (panels, 5) where the source's channels begin, the
    first vector, vectors, the first output, and outputs.
    """

    offsets: Array
    places: Array
    bands: Array
    groups: Array
    panels: Array


class Plan(NamedTuple):
    """A layout with its tables; ``vectors`` of outputs in all, ``rows`` of each group; elements of a band's copy."""

    layout: Layout
    tables: Tables
    vectors: int
    groups: int
    rows: int
    copy: int
    itemsize: int

    @property
    def packed(self) -> int:
        """Elements of the packed weights."""
        return self.vectors * self.layout.vector * len(self.tables.offsets)

    @property
    def items(self) -> int:
        """Pieces of work."""
        return self.layout.images * self.layout.bands * self.layout.panels

    def parts(self, threads: int) -> int:
        """Into how many parts groups of pixels are divided: several where panels are too few to be shared evenly."""
        bands = self.tables.bands
        return parts_for(threads, self.items, int((bands[:, 3] - bands[:, 2]).min()))

    @property
    def cycles(self) -> float:
        """What it is estimated to take."""
        return float(self.layout.images * self.layout.pixels * self.vectors * len(self.tables.offsets))


def is_better(problem: Problem) -> bool:
    """Whether panels are better than the other ways to compute the output directly."""
    length, (rows, *pixels) = vector_length(f"f{problem.itemsize}"), problem.target[1:]
    rows, count, depth = rows // problem.group, math.prod(pixels), math.prod(problem.weight[1:])
    if length < ROWS or problem.transposed or problem.gradient or count == 0 or problem.source[0] == 0:
        return False
    size = (problem.source[1] + 2 * problem.target[1]) * count * problem.itemsize
    # A tile reads and writes a few pixels of many planes, which must not all have the same places in the cache.
    apart = size <= _NEAR_BYTES and count * problem.itemsize % _WAY_BYTES != 0
    near = not problem.is_pixelwise or apart or rows <= _FEW_ROWS
    # What is computed, with the lanes that are of no use; other ways have tiles of rows and strips of pixels.
    computed = ROWS * len(cut_groups(count)) * -(-rows // length) * length
    others = -(-count // (STREAMS * length)) * STREAMS * length * (rows - rows % ROWS + _power_of_2(rows % ROWS))
    kind = 2 if count < STREAMS * length else int(problem.is_pixelwise and rows <= _FEW_ROWS)
    better = computed <= _MORE[kind] * others or (computed - others) * depth <= _LITTLE
    return near and depth >= _LEAST_TERMS and better


def _power_of_2(rows: int) -> int:
    """The smallest tile for so many rows."""
    return 1 << (rows - 1).bit_length() if rows else 0


@functools.lru_cache(maxsize=1024)
def make_plan(problem: Problem) -> Plan:
    """The plan of a forward convolution."""
    task, (grid,) = problem.passes()
    lanes, apart = problem.lanes
    reach = [max(taps) for taps in grid.taps]
    needed = [(n - 1) * s + r + 1 for n, s, r in zip(grid.extent, grid.stride, reach, strict=True)]
    ends = zip(grid.low, needed, task.source, strict=True)
    copied = any(low > 0 or need - low > size for low, need, size in ends)
    height, bands = _bands(task, grid, needed) if copied else (grid.extent[1], 1)
    band = needed[0], (height - 1) * grid.stride[1] + reach[1] + 1, needed[2]
    d, h, w = size = band if copied else task.source
    taps = [((a * h + b) * w + c) * lanes for a, b, c in itertools.product(*grid.taps)]
    blocks, lane = np.divmod(np.arange(task.channels), lanes)
    offsets = ((blocks * (d * h * w * lanes) + lane)[:, None] + np.array(taps)).ravel()
    axes = [np.arange(n) * s for n, s in zip((grid.extent[0], height, grid.extent[2]), grid.stride, strict=True)]
    places = ((axes[0][:, None, None] * h + axes[1][:, None]) * w + axes[2]).ravel() * lanes
    # A group of a few pixels is computed as a whole one.
    places = np.append(places, np.repeat(places[-1:], ROWS))
    vector = vector_length(f"f{task.itemsize}")
    panels = make_panels(task.groups, task.rows, vector)
    panels[:, 0] *= task.channels * d * h * w
    tables = Tables(offsets.astype(np.int64), places.astype(np.int64), *_cut(grid, height, bands), panels)
    layout = Layout(
        images=task.images,
        panels=len(tables.panels),
        bands=bands,
        pixels=math.prod(grid.extent),
        outputs=task.groups * task.rows,
        channels=task.groups * task.channels // lanes,
        image=task.groups * task.channels * math.prod(task.source),
        copied=copied,
        parts=1,
        source=_widened(task.source, lanes),
        size=_widened(size, lanes),
        low=_widened(grid.low, lanes),
        step=grid.stride[1],
        vector=vector,
        apart=apart,
    )
    copy = task.groups * task.channels * d * h * w if copied else 0
    vectors = task.groups * -(-task.rows // vector)
    return Plan(layout, tables, vectors, task.groups, task.rows, copy, task.itemsize)


def _widened(sizes: Axes, lanes: int) -> Axes:
    """Sizes with the width in elements, of which a pixel has so many."""
    return (*sizes[:2], sizes[2] * lanes)


def _bands(task: Task, grid: Grid, needed: list[int]) -> tuple[int, int]:
    """Rows of pixels of a band, and how many bands there are; one where there is depth."""
    rows = grid.extent[1]
    if grid.extent[0] > 1:
        return rows, 1
    row_bytes = task.groups * task.channels * needed[0] * needed[2] * grid.stride[1] * task.itemsize
    count = -(-rows // max(1, _BAND_BYTES // row_bytes))
    height = -(-rows // count)
    return height, -(-rows // height)


def _cut(grid: Grid, height: int, bands: int) -> tuple[Array, Array]:
    """The tables of bands and of groups."""
    table = np.empty((bands, 4), np.int64)
    groups: list[tuple[int, int]] = []
    for band in range(bands):
        first = band * height
        rows = min(height, grid.extent[1] - first)
        begin = len(groups)
        groups += cut_groups(grid.extent[0] * rows * grid.extent[2])
        table[band] = first, first * grid.extent[2], begin, len(groups)
    return table, np.array(groups, np.int64).reshape(-1, 2)


def cut_groups(count: int) -> list[tuple[int, int]]:
    """Pixels in groups of `ROWS` and one less, (first, size); where that cannot be the last group overlaps another.

    Fewer pixels than that are one group.
    """
    if count < ROWS - 1:
        return [(0, count)]
    less = -count % ROWS
    if less * (ROWS - 1) > count:
        less = 0
    sizes = [ROWS] * ((count - less * (ROWS - 1)) // ROWS) + [ROWS - 1] * less
    firsts = itertools.accumulate(sizes, initial=0)
    groups = list(zip(firsts, sizes, strict=False))
    return groups if sum(sizes) == count else [*groups, (count - ROWS, ROWS)]


def parts_for(threads: int, items: int, groups: int) -> int:
    """Into how many parts so many groups are divided, lest threads wait for each other; each part reads the weights."""
    return 1 if threads == 1 else max(1, min(groups // 2, -(-_ITEMS * threads // items)))


def make_panels(groups: int, rows: int, length: int) -> Array:
    """The table of panels, with their group where `Tables` has a place in the source.

    They have three vectors of outputs each, but rather twice two than three and one.
    """
    vectors = -(-rows // length)
    widths = [STREAMS] * (vectors // STREAMS) + [vectors % STREAMS] * (vectors % STREAMS > 0)
    if len(widths) > 1 and widths[-1] == 1:
        widths[-2:] = [2, STREAMS - 1]
    table = []
    for group in range(groups):
        for first, width in zip(itertools.accumulate(widths, initial=0), widths, strict=False):
            live = min(rows - first * length, width * length)
            table.append((group, group * vectors + first, width, group * rows + first * length, live))
    return np.array(table, np.int64)
