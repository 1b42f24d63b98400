"""How a pass goes through memory: blocks and the offsets of the taps, all worked out before any loop.

A pass (see `problem`) is cut into blocks whose source fits the cache. Before the innermost loops a block's source is
copied, as

planes
    its rows with their padding, de-interleaved by the stride, so that every tap is a constant shift. Positions then
    include the padding between rows, and their results are dropped; or as
columns
    one copy per tap (im2col) of just the block, for windows that are wide compared to the image.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution.problem import Axes, Grid, Task
from segcaffe.kernels.vector.tile import ROWS, STREAMS, strip_length, vector_length

Array = np.ndarray[Any, Any]

_CACHE_BYTES = 3 << 18
"""What a block's copy of the source may occupy of the second-level cache."""
CHUNK_VECTORS = 64
"""Vectors of a line of gradients that are used at a time, so that a tile's lines stay in the first-level cache."""
_SPAN_BYTES = 384 << 10
"""What the strips of a convolution of single pixels may occupy of it."""
_ROW_CYCLES = 50.0
_COPY_CYCLES = 0.5
"""Costs in cycles of beginning to copy a row, and of one element of it."""
_TILE_CYCLES, _SUM_CYCLES = 30.0, 60.0
"""Costs of beginning and ending a tile, forward and in the weights' gradient."""
_ITEMS = 16
"""Into how many pieces of work a large pass is cut at least, so that all threads have some."""


class Layout(NamedTuple):
    """The sizes that the compiled loops need.

    ``block`` is (images, depth, height) for planes, (positions, 1, 1) for columns; ``pitch`` the extent of a plane;
    ``positions`` the length of a block's row of results; ``panel`` how many elements of the source's copy belong to a
    position, where the copy holds all of a strip before the next strip, else 1; ``segments`` how many runs of target
    pixels a block has at most; ``chunk`` how many channels of the source are copied at a time, in ``chunks`` turns (for
    the weights' gradient only, else all at once); ``parts`` into how many partial sums that gradient is divided and
    ``row_parts`` into how many parts the tiles of rows are.
    """

    images: int
    groups: int
    channels: int
    rows: int
    source: Axes
    target: Axes
    extent: Axes
    base: Axes
    step: Axes
    stride: Axes
    low: Axes
    columns: int
    block: Axes
    blocks: Axes
    pitch: Axes
    phases: Axes
    plane: int
    positions: int
    segments: int
    strip: int
    panel: int
    vector: int
    chunk: int
    chunks: int
    parts: int
    row_parts: int


class Tables(NamedTuple):
    """What the loops look up.

    ``taps`` is (T, 3); ``residues`` (3, any), the phases of a strided source that taps of each axis use; ``offsets``
    (chunk * T, filled up to a multiple of STREAMS), where the copy of the source begins for each channel and tap.
    """

    taps: Array
    residues: Array
    offsets: Array


class Plan(NamedTuple):
    """A layout with its tables.

    ``places`` is (T,), where the taps stand in the flattened kernel; ``buffer`` the elements of the source's copy;
    ``cycles`` the estimated cost of it all.
    """

    layout: Layout
    tables: Tables
    places: Array
    buffer: int
    cycles: float
    itemsize: int

    @property
    def depth(self) -> int:
        """Number of products that make one sum: channels times taps."""
        return self.layout.channels * len(self.tables.taps)

    @property
    def tiles(self) -> int:
        """Tiles of rows in one group."""
        return -(-self.layout.rows // ROWS)

    @property
    def items(self) -> int:
        """Pieces of work that can be done side by side in a forward pass."""
        if self.pixelwise:
            return self.layout.images * self.layout.groups * -(-self.pixels // (self.layout.strip * self.span))
        return self.layout.groups * math.prod(self.layout.blocks) * self.layout.row_parts

    @property
    def pixels(self) -> int:
        """Positions of one image."""
        return math.prod(self.layout.extent)

    @property
    def span(self) -> int:
        """Strips of single pixels that are computed at a time: with a line more their lines are nearly a power of 2."""
        strips = self.layout.images * self.layout.groups * -(-self.pixels // self.layout.strip)
        room = min(_SPAN_BYTES // (self.layout.channels * self.layout.strip * self.itemsize), 2 * strips // _ITEMS)
        return max(count for count in (1, 2, 5, 10, 21) if count <= max(1, room))

    @property
    def pixelwise(self) -> bool:
        """Whether each result of a forward pass comes from one pixel, so that images can be cut anywhere."""
        single = len(self.tables.taps) == 1 and self.layout.source == self.layout.target == self.layout.extent
        return single and self.layout.strip <= self.pixels


@functools.lru_cache(maxsize=1024)
def make_plan(task: Task, grid: Grid) -> Plan:
    """Choose a pass's blocks by estimated cost, and work out its tables."""
    cycles, layout, buffer = min(_choices(task, grid), key=lambda choice: choice[0])
    used = _residues(grid)
    residues = np.zeros((3, max(map(len, used))), np.int64)
    for axis, phases in enumerate(used):
        residues[axis, : len(phases)] = phases
    taps = np.array(list(itertools.product(*grid.taps)), np.int64)
    _, height, width = grid.kernel
    places = np.array([(d * height + h) * width + w for d, h, w in itertools.product(*grid.places)], np.int64)
    tables = Tables(taps, residues, _offsets(layout, grid, taps))
    return Plan(layout, tables, places, buffer, cycles, task.itemsize)


def _residues(grid: Grid) -> list[list[int]]:
    return [sorted({t % s for t in taps}) for taps, s in zip(grid.taps, grid.stride, strict=True)]


def _offsets(layout: Layout, grid: Grid, taps: Array) -> Array:
    """Where in the source's copy each (channel, tap) begins."""
    if layout.columns:
        offsets = np.arange(layout.chunk * len(taps)) * (layout.strip if layout.panel > 1 else layout.positions)
    else:
        residues, (_, height, width) = _residues(grid), layout.pitch
        shifts = []
        for tap in taps.tolist():
            d, h, w = (t // s for t, s in zip(tap, grid.stride, strict=True))
            phase = 0
            for axis in range(3):
                phase = phase * layout.phases[axis] + residues[axis].index(tap[axis] % grid.stride[axis])
            shifts.append(phase * layout.plane + (d * height + h) * layout.block[0] * width + w)
        channel = math.prod(layout.phases) * layout.plane
        offsets = (np.arange(layout.chunk)[:, None] * channel + np.array(shifts)).ravel()
    fill = -len(offsets) % STREAMS
    return np.concatenate([offsets, np.repeat(offsets[-1:], fill)]).astype(np.int64)


Choice = tuple[float, Layout, int]


class _Block(NamedTuple):
    """A candidate: the layout's fields of the same names, and what copying one channel takes.

    ``filled`` is the share of the blocks' positions that is computed, as the last block of an image is smaller.
    """

    columns: int
    block: Axes
    blocks: Axes
    pitch: Axes
    phases: Axes
    plane: int
    used: int
    segments: int
    channel_size: int
    channel_rows: float
    filled: float = 1.0


def _choices(task: Task, grid: Grid) -> Iterator[Choice]:
    """Layouts with their estimated costs and the size of the source's copy; at least one, of whatever size."""
    for blocks in (_planes(task, grid), _columns(task, grid)):
        for count, block in enumerate(blocks):
            room = _CACHE_BYTES // task.itemsize // block.channel_size
            chunks = -(-task.channels // max(1, room)) if task.gradient else 1
            chunk = -(-task.channels // chunks)
            excess = chunk * block.channel_size * task.itemsize / _CACHE_BYTES
            if excess > 1 and count:
                break
            yield _estimate(task, grid, block, chunk, max(1.0, excess))


def _estimate(task: Task, grid: Grid, block: _Block, chunk: int, excess: float) -> Choice:
    layout = _layout(task, grid, block, chunk)
    taps = math.prod(map(len, grid.taps))
    count = math.prod(block.blocks)
    share = task.images * math.prod(grid.extent) / max(1, count)
    copy = task.channels * (block.channel_rows * _ROW_CYCLES + block.channel_size * _COPY_CYCLES)
    lines = task.rows * (block.segments * _ROW_CYCLES + share * _COPY_CYCLES) * layout.chunks
    tiles, per_step = -(-task.rows // ROWS), ROWS * STREAMS / 2
    if task.gradient:
        sums = -(-block.used // (layout.vector * CHUNK_VECTORS)) * _SUM_CYCLES
        steps = -(-block.used // layout.vector) * per_step
        work = tiles * layout.chunks * -(-chunk * taps // STREAMS) * (steps + sums)
    else:
        work = tiles * -(-block.used // layout.strip) * (chunk * taps * per_step + _TILE_CYCLES)
    cycles = task.groups * count * (copy + lines + work * block.filled * excess)
    return cycles, _divide(layout, task.gradient, taps, cycles), chunk * block.channel_size + 2 * layout.strip


def _planes(task: Task, grid: Grid) -> Iterator[_Block]:
    """Blocks of whole rows, from one row to whole images."""
    reach = [max(taps) // s for taps, s in zip(grid.taps, grid.stride, strict=True)]
    d, h, w = (len(used) for used in _residues(grid))
    width = _plane_width(task, grid, reach[2])
    for images, depth, height in _block_sizes(task.images, grid.extent):
        pitch = depth + reach[0], height + reach[1], width
        plane = math.prod(pitch) * images
        blocks = -(-task.images // images), -(-grid.extent[0] // depth), -(-grid.extent[1] // height)
        used = (((depth - 1) * pitch[1] + height - 1) * images + images - 1) * width + grid.extent[2]
        size = d * h * w * plane
        segments = images * depth * height
        strip = strip_length(f"f{task.itemsize}")
        # Of the last block's rows only those that exist are computed.
        rest = -(-(used - (blocks[2] * height - grid.extent[1]) * images * width) // strip) / -(-used // strip)
        filled = (blocks[2] - 1 + rest) / blocks[2] if depth == 1 else 1.0
        filling = used, segments, size, size / width, filled
        yield _Block(0, (images, depth, height), blocks, pitch, (d, h, w), plane, *filling)


def _plane_width(task: Task, grid: Grid, reach: int) -> int:
    """Length of a row of a plane: the padding on its right is that on the next row's left, where both are zeros."""
    extent, low = grid.extent[2], grid.low[2]
    if grid.stride[2] > 1 or low <= 0:
        return extent + reach
    return max(extent, low + task.source[2], extent + reach - low)


def _columns(task: Task, grid: Grid) -> Iterator[_Block]:
    """Blocks of any positions, in whole strips."""
    strip = strip_length(f"f{task.itemsize}")
    taps, width = math.prod(map(len, grid.taps)), grid.extent[2]
    total = task.images * math.prod(grid.extent)
    for strips in range(1, min(64, -(-total // strip)) + 1):
        used = strips * strip
        blocks = -(-total // used), 1, 1
        rows = taps * (used / width + 1)
        yield _Block(1, (used, 1, 1), blocks, (1, 1, 1), (1, 1, 1), 0, used, used // width + 2, taps * used, rows)


def _block_sizes(images: int, extent: Axes) -> Iterator[Axes]:
    """(images, depth, height) of blocks from one row up: several slices only when whole, several images likewise."""
    depth, height, _ = extent
    yield from ((1, 1, h) for h in range(1, min(height, 64) + 1))
    if height <= 64:
        yield from ((1, d, height) for d in range(2, min(depth, 64) + 1))
        if depth <= 64:
            yield from ((n, depth, height) for n in range(2, min(images, 64) + 1))


def _layout(task: Task, grid: Grid, block: _Block, chunk: int) -> Layout:
    strip, vector = strip_length(f"f{task.itemsize}"), vector_length(f"f{task.itemsize}")
    positions = -(-block.used // strip) * strip
    chunks = -(-task.channels // chunk)
    return Layout(
        images=task.images,
        groups=task.groups,
        channels=task.channels,
        rows=task.rows,
        source=task.source,
        target=task.target,
        extent=grid.extent,
        base=grid.base,
        step=grid.step,
        stride=grid.stride,
        low=grid.low,
        columns=block.columns,
        block=block.block,
        blocks=block.blocks,
        pitch=block.pitch,
        phases=block.phases,
        plane=block.plane,
        positions=positions,
        segments=block.segments,
        strip=strip,
        panel=1 if task.gradient or not block.columns else block.channel_size // block.used * chunk,
        vector=vector,
        chunk=chunk,
        chunks=chunks,
        parts=1,
        row_parts=1,
    )


def _divide(layout: Layout, gradient: bool, taps: int, cycles: float) -> Layout:
    """Say into how many parts the work is cut, from its sizes alone: sums must not depend on the number of threads."""
    blocks, tiles = math.prod(layout.blocks), -(-layout.rows // ROWS)
    weights = layout.groups * tiles * ROWS * layout.channels * taps
    most = blocks if blocks <= 2 * _ITEMS else _ITEMS
    parts = max(1, min(most, (1 << 20) // weights))
    others = layout.groups * (parts * layout.chunks if gradient else blocks)
    row_parts = 1 if cycles < 2e5 else min(tiles, -(-_ITEMS // max(1, others)))
    return layout._replace(parts=parts, row_parts=row_parts)
