"""How a convolution goes through memory: passes, blocks and the offsets of the taps, all worked out before any loop.

Forward, backward_data and backward_weight are built of one operation, a *pass*: positions q of a grid, each the
product of weights with the source at ``q * stride + tap - low``. A forward convolution is one pass; the gradient of
the input of a convolution with stride s is s passes per axis, one for each phase of the image's pixels, and these have
no stride.

A pass is cut into blocks whose source fits the cache. Before the innermost loops a block's source is copied, as

planes
    its rows with their padding, de-interleaved by the stride, so that every tap is a constant shift. Positions then
    include the columns that the window adds to a row, and their results are dropped; or as
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

from segcaffe.kernels.tile import ROWS, STREAMS, strip_length, vector_length

Axes = tuple[int, int, int]
Array = np.ndarray[Any, Any]

_CACHE_BYTES = 5 << 18
"""What a block's copy of the source may occupy of the second-level cache."""
_WEIGHT_BYTES = 1 << 19
"""What weights that are read anew for each strip may occupy of it."""
_ROW_CYCLES = 50.0
_COPY_CYCLES = 0.5
"""Costs in cycles of beginning to copy a row, and of one element of it."""
_TILE_CYCLES, _SUM_CYCLES = 30.0, 60.0
"""Costs of beginning and ending a tile, forward and in the weights' gradient."""
_ITEMS = 16
"""Into how many pieces of work a large pass is cut at least, so that all threads have some."""


class Grid(NamedTuple):
    """One pass over (depth, height, width): position q reads the source at ``q * stride + tap - low``.

    Position q belongs to ``base + step * q`` of the target. ``taps`` holds for each axis the positions (0 or more) of
    the taps and ``places`` where each stands in a kernel of size ``kernel``.
    """

    extent: Axes
    base: Axes
    step: Axes
    stride: Axes
    low: Axes
    taps: tuple[tuple[int, ...], ...]
    places: tuple[tuple[int, ...], ...]
    kernel: Axes


class Task(NamedTuple):
    """What a pass works on: per group ``channels`` of the source and ``rows`` (channels of the target)."""

    images: int
    groups: int
    channels: int
    rows: int
    source: Axes
    target: Axes
    itemsize: int
    gradient: bool


class Layout(NamedTuple):
    """The sizes that the compiled loops need.

    ``block`` is (images, depth, height) for planes, (positions, 1, 1) for columns; ``pitch`` the extent of a plane;
    ``positions`` the length of a block's row of results; ``segments`` how many runs of target pixels a block has at
    most; ``parts`` into how many partial sums the weights' gradient is divided and ``row_parts`` into how many parts
    the tiles of rows are.
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
    vector: int
    parts: int
    row_parts: int


class Plan(NamedTuple):
    """A layout with its tables.

    ``taps`` is (T, 3); ``residues`` (3, any), the phases of a strided source that taps of each axis use; ``offsets``
    (channels * T, filled up to a multiple of STREAMS), where the copy of the source begins for each channel and tap;
        ``places`` (T,), where the taps stand in the flattened kernel; ``buffer`` the elements of the source's copy;
    ``cycles`` the estimated cost of it all.
    """

    layout: Layout
    taps: Array
    residues: Array
    offsets: Array
    places: Array
    buffer: int
    cycles: float
    itemsize: int

    @property
    def depth(self) -> int:
        """Number of products that make one sum: channels times taps."""
        return self.layout.channels * len(self.taps)

    @property
    def tiles(self) -> int:
        """Tiles of rows in one group."""
        return -(-self.layout.rows // ROWS)

    @property
    def items(self) -> int:
        """Pieces of work that can be done side by side in a forward pass."""
        if self.in_place:
            return self.layout.images * self.layout.groups * -(-self.pixels // self.layout.strip)
        return self.layout.groups * math.prod(self.layout.blocks) * self.layout.row_parts

    @property
    def pixels(self) -> int:
        """Positions of one image."""
        return math.prod(self.layout.extent)

    @property
    def in_place(self) -> bool:
        """Whether a forward pass reads the source without a copy: single pixels, and weights that stay in the cache."""
        single = len(self.taps) == 1 and self.layout.source == self.layout.target == self.layout.extent
        weight_bytes = self.tiles * ROWS * self.depth * self.itemsize
        return single and self.layout.strip <= self.pixels and weight_bytes <= _WEIGHT_BYTES


def forward_grid(output: Axes, kernel: Axes, stride: Axes, pad: Axes, dilation: Axes) -> Grid:
    """The pass of a forward convolution."""
    taps = tuple(tuple(t * d for t in range(k)) for k, d in zip(kernel, dilation, strict=True))
    return Grid(output, (0, 0, 0), (1, 1, 1), stride, pad, taps, tuple(tuple(range(k)) for k in kernel), kernel)


def backward_grids(image: Axes, kernel: Axes, stride: Axes, pad: Axes, dilation: Axes) -> list[Grid]:
    """The passes that compute the gradient of an image from that of the output; phases without a tap are left out."""
    axes = [list(_phases(*sizes)) for sizes in zip(image, kernel, stride, pad, dilation, strict=True)]
    grids = []
    for d, h, w in itertools.product(*axes):
        extent, base, low, taps, places = zip(d, h, w, strict=True)
        if all(extent) and all(taps):
            grids.append(Grid(extent, base, stride, (1, 1, 1), low, taps, places, kernel))
    return grids


def _phases(size: int, kernel: int, stride: int, pad: int, dilation: int) -> Iterator[tuple[Any, ...]]:
    """For each phase of one axis: extent, base, lowest shift, and positions and places of the taps that reach it."""
    for phase in range(stride):
        reach = [(phase + pad - t * dilation, t) for t in reversed(range(kernel))]
        shifts = [(r // stride, t) for r, t in reach if r % stride == 0]
        lowest = min((s for s, _ in shifts), default=0)
        taps = tuple(s - lowest for s, _ in shifts)
        yield -(-(size - phase) // stride), phase, -lowest, taps, tuple(t for _, t in shifts)


@functools.lru_cache(maxsize=1024)
def make_plan(task: Task, grid: Grid) -> Plan:
    """Choose a pass's blocks by estimated cost, and work out its tables."""
    choices = [*_planes(task, grid), *_columns(task, grid)]
    cycles, layout, buffer = min(choices, key=lambda choice: choice[0])
    residues = np.zeros((3, max(layout.phases)), np.int64)
    for axis, used in enumerate(_residues(grid)):
        residues[axis, : len(used)] = used
    taps = np.array(list(itertools.product(*grid.taps)), np.int64)
    _, height, width = grid.kernel
    places = np.array([(d * height + h) * width + w for d, h, w in itertools.product(*grid.places)], np.int64)
    layout = _divide(layout, task.gradient, len(taps), cycles)
    return Plan(layout, taps, residues, _offsets(layout, grid, taps), places, buffer, cycles, task.itemsize)


def _residues(grid: Grid) -> list[list[int]]:
    return [sorted({t % s for t in taps}) for taps, s in zip(grid.taps, grid.stride, strict=True)]


def _offsets(layout: Layout, grid: Grid, taps: Array) -> Array:
    """Where in the source's copy each (channel, tap) begins."""
    if layout.columns:
        offsets = np.arange(layout.channels * len(taps)) * layout.positions
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
        offsets = (np.arange(layout.channels)[:, None] * channel + np.array(shifts)).ravel()
    fill = -len(offsets) % STREAMS
    return np.concatenate([offsets, np.repeat(offsets[-1:], fill)]).astype(np.int64)


Choice = tuple[float, Layout, int]


def _planes(task: Task, grid: Grid) -> Iterator[Choice]:
    """Blocks of whole rows, from one row to whole images."""
    reach = [max(taps) // s for taps, s in zip(grid.taps, grid.stride, strict=True)]
    phases = [len(used) for used in _residues(grid)]
    width = grid.extent[2] + reach[2]
    for count, block in enumerate(_block_sizes(task.images, grid.extent)):
        images, depth, height = block
        pitch = (depth + reach[0], height + reach[1], width)
        plane = math.prod(pitch) * images
        buffer = task.channels * math.prod(phases) * plane + 2 * strip_length(f"f{task.itemsize}")
        excess = buffer * task.itemsize / _CACHE_BYTES
        if count and excess > 1:
            return
        used = (((depth - 1) * pitch[1] + height - 1) * images + images - 1) * width + grid.extent[2]
        blocks = tuple(-(-n // b) for n, b in zip((task.images, *grid.extent[:2]), block, strict=True))
        rows = task.groups * task.channels * math.prod(phases) * pitch[0] * pitch[1] * images
        copy = rows * (_ROW_CYCLES + width * _COPY_CYCLES)
        share = task.images * grid.extent[0] * grid.extent[1] / math.prod(block)
        segments = math.prod(block)
        cycles = _cycles(task, grid, used, segments) * share * max(1.0, excess) + copy * math.prod(blocks)
        yield cycles, _layout(task, grid, False, block, blocks, pitch, phases, plane, used, segments), buffer


def _columns(task: Task, grid: Grid) -> Iterator[Choice]:
    """Blocks of any positions, in whole strips."""
    strip = strip_length(f"f{task.itemsize}")
    depth = task.channels * math.prod(map(len, grid.taps))
    width = grid.extent[2]
    total = task.images * math.prod(grid.extent)
    for strips in range(1, min(64, -(-total // strip)) + 1):
        positions = strips * strip
        buffer = depth * positions + strip
        excess = buffer * task.itemsize / _CACHE_BYTES
        if strips > 1 and excess > 1:
            return
        segments = positions // width + 2
        copy = task.groups * depth * ((positions / width + 1) * _ROW_CYCLES + positions * _COPY_CYCLES)
        blocks = -(-total // positions)
        cycles = _cycles(task, grid, positions, segments) * total / positions * max(1.0, excess) + copy * blocks
        yield (
            cycles,
            _layout(task, grid, True, (positions, 1, 1), (blocks, 1, 1), (1, 1, 1), (1, 1, 1), 0, positions, segments),
            buffer,
        )


def _block_sizes(images: int, extent: Axes) -> Iterator[Axes]:
    """(images, depth, height) of blocks from one row up: several slices only when whole, several images likewise."""
    depth, height, _ = extent
    yield from ((1, 1, h) for h in range(1, min(height, 64) + 1))
    if height <= 64:
        yield from ((1, d, height) for d in range(2, min(depth, 64) + 1))
        if depth <= 64:
            yield from ((n, depth, height) for n in range(2, min(images, 64) + 1))


def _cycles(task: Task, grid: Grid, positions: int, segments: int) -> float:
    """Estimated cost of a block without the copy of its source."""
    depth = task.channels * math.prod(map(len, grid.taps))
    tiles = task.groups * -(-task.rows // ROWS)
    strip, vector = strip_length(f"f{task.itemsize}"), vector_length(f"f{task.itemsize}")
    per_step = ROWS * STREAMS / 2
    rows = task.groups * task.rows * (segments * _ROW_CYCLES + positions * _COPY_CYCLES)
    if task.gradient:
        return rows + tiles * -(-depth // STREAMS) * (-(-positions // vector) * per_step + _SUM_CYCLES)
    return rows + tiles * -(-positions // strip) * (depth * per_step + _TILE_CYCLES)


def _layout(
    task: Task,
    grid: Grid,
    columns: bool,
    block: Any,
    blocks: Any,
    pitch: Any,
    phases: Any,
    plane: int,
    used: int,
    segments: int,
) -> Layout:
    strip, vector = strip_length(f"f{task.itemsize}"), vector_length(f"f{task.itemsize}")
    positions = -(-used // strip) * strip
    return Layout(
        *task[:6],
        *grid[:5],
        int(columns),
        tuple(block),
        tuple(blocks),
        tuple(pitch),
        tuple(phases),
        plane,
        positions,
        segments,
        strip,
        vector,
        1,
        1,
    )


def _divide(layout: Layout, gradient: bool, taps: int, cycles: float) -> Layout:
    """Say into how many parts the work is cut, from its sizes alone: sums must not depend on the number of threads."""
    blocks, tiles = math.prod(layout.blocks), -(-layout.rows // ROWS)
    weights = layout.groups * tiles * ROWS * layout.channels * taps
    most = blocks if blocks <= 2 * _ITEMS else _ITEMS
    parts = max(1, min(most, (1 << 22) // weights))
    others = layout.groups * (parts if gradient else blocks)
    row_parts = 1 if cycles < 2e5 else min(tiles, -(-_ITEMS // max(1, others)))
    return layout._replace(parts=parts, row_parts=row_parts)
