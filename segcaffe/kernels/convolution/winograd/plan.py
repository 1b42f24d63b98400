"""Where the Winograd convolution pays, and how it goes through memory."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from segcaffe.kernels.convolution.columns import FEWER_PIXELS, MANY_WEIGHTS
from segcaffe.kernels.convolution.problem import Grid, Task
from segcaffe.kernels.convolution.winograd.transforms import SIZE, STEP
from segcaffe.kernels.vector.tile import ROWS, STREAMS, strip_length, vector_length

Pair = tuple[int, int]

_TRANSFORM_CYCLES, _RUN_CYCLES = 16.0, 100.0
"""Costs in cycles of transforming a tile of one channel, and of beginning with a row of tiles, copies included."""
_WEIGHT_CYCLES = 120.0
"""Cost of transforming the taps between one channel and ROWS others."""
_GRADIENT_BYTES = 1 << 24
"""What a block's transformed input and gradient may occupy."""
_WEIGHT_BYTES = 1 << 21
"""What transformed weights may occupy to be found in a cache by the next block."""
_PART_TILES = 8
"""Tiles of rows whose weights are transformed at a time where they are used once."""
_CACHE_BYTES = 3 << 19
"""What the transformed input and the sums of a block may occupy of the second-level cache."""


class Layout(NamedTuple):
    """The sizes that the compiled loops need; pairs are (height, width).

    ``tiles`` counts all tiles, ``block`` those computed at a time; ``pitch`` is the number of elements between their
    rows, ``input_step``, ``weight_step`` and ``sum_step`` that between the 36 matrices of each, ``row_length`` that
    between rows of pixels in the workspace. For the gradient, ``weight_step`` belongs to the transformed gradient of
    the output. ``fresh`` says that each part of the rows has its weights transformed where it uses them, for all tiles.
    """

    groups: int
    channels: int
    rows: int
    source: Pair
    target: Pair
    low: Pair
    dilation: Pair
    tile_rows: int
    tile_columns: int
    tiles: int
    block: int
    pitch: int
    input_step: int
    weight_step: int
    sum_step: int
    row_length: int
    strip: int
    vector: int
    row_parts: int
    fresh: bool

    @property
    def items(self) -> int:
        """Pieces of work that can be done side by side."""
        return self.groups * -(-self.tiles // self.block) * self.row_parts

    @property
    def row_tiles(self) -> int:
        """Tiles of output channels in one group."""
        return -(-self.rows // ROWS)


@functools.lru_cache(maxsize=1024)
def make_layout(task: Task, grid: Grid) -> Layout | None:
    """The layout for a pass, or None where another method is faster or this one is not possible.

    The choice does not depend on the number of threads, and on that of images only where there are few pixels in all.
    """
    if not _fits(task, grid) or (not task.gradient and task.groups == 1 and _has_few_pixels(task)):
        return None
    dilation = grid.taps[1][1] - grid.taps[1][0], grid.taps[2][1] - grid.taps[2][0]
    rows, columns = (math.ceil(math.ceil(e / d) / STEP) for e, d in zip(grid.extent[1:], dilation, strict=True))
    tiles_of_image = rows * columns * dilation[0] * dilation[1]
    if not _pays(task, grid.extent[1] * grid.extent[2], tiles_of_image, tiles_of_image // columns):
        return None
    tiles, row_tiles = task.images * tiles_of_image, -(-task.rows // ROWS)
    strip, vector = strip_length("f4"), vector_length("f4")
    block = _gradient_block(task, tiles) if task.gradient else _block(task, tiles)
    blocks, pitch = task.groups * -(-tiles // block), block + vector
    fresh = blocks == task.groups and not task.gradient
    row_parts = min(row_tiles, max(-(-8 // max(1, blocks)), -(-row_tiles // _PART_TILES) if fresh else 1))
    part_rows = -(-row_tiles // row_parts) * ROWS
    weights = task.rows * pitch if task.gradient else task.groups * row_tiles * ROWS * task.channels
    weights = part_rows * task.channels if fresh else weights
    sums = row_tiles * ROWS * -(-task.channels // STREAMS) * STREAMS if task.gradient else part_rows * pitch
    return Layout(
        groups=task.groups,
        channels=task.channels,
        rows=task.rows,
        source=(task.source[1], task.source[2]),
        target=(task.target[1], task.target[2]),
        low=(grid.low[1], grid.low[2]),
        dilation=dilation,
        tile_rows=rows,
        tile_columns=columns,
        tiles=tiles,
        block=block,
        pitch=pitch,
        input_step=_spread(task.channels * pitch),
        weight_step=_spread(weights),
        sum_step=_spread(sums),
        row_length=STEP * (min(columns, block) + vector) + SIZE,
        strip=strip,
        vector=vector,
        row_parts=row_parts,
        fresh=fresh,
    )


def _has_few_pixels(task: Task) -> bool:
    """Whether transforming the weights costs more than is saved."""
    pixels = task.images * min(math.prod(task.source), math.prod(task.target))
    return pixels <= FEWER_PIXELS[0] and 9 * task.channels * task.rows >= MANY_WEIGHTS


def _fits(task: Task, grid: Grid) -> bool:
    """Whether the pass is a float32 convolution of images by 3x3 taps at equal distances, without a stride."""
    flat = task.source[0] == task.target[0] == 1 and grid.kernel == (1, 3, 3)
    unstrided = grid.stride == grid.step == (1, 1, 1)
    return flat and unstrided and task.itemsize == 4 and task.images > 0


def _pays(task: Task, pixels: int, tiles: int, runs: int) -> bool:
    """Whether this method is estimated to be clearly faster than the direct one for an image."""
    strip = strip_length("f4")
    row_tiles, per_step = -(-task.rows // ROWS), ROWS * STREAMS / 2
    # The last strip is seldom full, but other images may fill it.
    computed = min(-(-tiles // strip) * strip, tiles * 4 / 3)
    products = computed * SIZE * SIZE * row_tiles * task.channels * per_step / strip
    transforms = (task.channels + task.rows) * (tiles * _TRANSFORM_CYCLES + runs * _RUN_CYCLES)
    weights = task.channels * row_tiles * _WEIGHT_CYCLES
    direct = 9 * task.channels * row_tiles * per_step * pixels / strip
    return products + transforms + weights < 0.9 * direct


def _block(task: Task, tiles: int) -> int:
    """Tiles of a block: what fits the cache or at least three strips, but four blocks where strips suffice.

    Large weights are read from memory for each block, so there the blocks are as few as possible.
    """
    strip = strip_length("f4")
    blocks = 1 if SIZE * SIZE * task.channels * task.rows * task.itemsize > _WEIGHT_BYTES else 4
    per_tile = SIZE * SIZE * (task.channels + -(-task.rows // ROWS) * ROWS) * task.itemsize
    return strip * max(1, min(max(3, _CACHE_BYTES // per_tile // strip), -(-tiles // strip) // blocks))


def _gradient_block(task: Task, tiles: int) -> int:
    """Tiles of a block for the gradient, whose products are sums over them: many, in whole vectors."""
    vector = vector_length("f4")
    room = _GRADIENT_BYTES // (SIZE * SIZE * (task.channels + task.rows) * task.itemsize)
    block = max(128, min(1024, room))
    blocks = -(-tiles // block)
    return -(-tiles // (blocks * vector)) * vector


def _spread(size: int) -> int:
    """A distance of at least ``size`` elements whose multiples do not fall on the same few sets of a cache."""
    line = vector_length("f4")
    return (-(-size // line) | 1) * line
