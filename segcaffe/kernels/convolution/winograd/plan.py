"""Where the Winograd convolution pays, and how it goes through memory."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from segcaffe.kernels.convolution.plan import Grid, Task
from segcaffe.kernels.convolution.winograd.transforms import SIZE, STEP
from segcaffe.kernels.tile import ROWS, STREAMS, strip_length, vector_length

Pair = tuple[int, int]

_TRANSFORM_CYCLES = 12.0
"""Cost in cycles of transforming a tile of one channel, copies included."""
_WEIGHT_CYCLES = 600.0
"""Cost of transforming the taps between one channel and ROWS others."""
_GRADIENT_BYTES = 1 << 24
"""What a block's transformed input and gradient may occupy."""
_CACHE_BYTES = 3 << 19
"""What the transformed input and the sums of a block may occupy of the second-level cache."""


class Layout(NamedTuple):
    """The sizes that the compiled loops need; pairs are (height, width).

    ``tiles`` counts all tiles, ``block`` those computed at a time; ``pitch`` is the number of elements between their
    rows, ``input_step``, ``weight_step`` and ``sum_step`` that between the 36 matrices of each, ``row_length`` that
    between rows of pixels in working memory. For the gradient, ``weight_step`` belongs to the transformed gradient of
    the output.
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

    The choice depends neither on the number of images nor on that of threads, so that an item of a batch gives what
    it gives alone.
    """
    if not _fits(task, grid):
        return None
    dilation = grid.taps[1][1] - grid.taps[1][0], grid.taps[2][1] - grid.taps[2][0]
    rows, columns = (math.ceil(math.ceil(e / d) / STEP) for e, d in zip(grid.extent[1:], dilation, strict=True))
    tiles_of_image = rows * columns * dilation[0] * dilation[1]
    if not _pays(task, grid.extent[1] * grid.extent[2], tiles_of_image):
        return None
    tiles, row_tiles = task.images * tiles_of_image, -(-task.rows // ROWS)
    strip, vector = strip_length("f4"), vector_length("f4")
    block = _gradient_block(task, tiles) if task.gradient else _block(task, tiles)
    blocks, pitch = task.groups * -(-tiles // block), block + vector
    weights = task.rows * pitch if task.gradient else task.groups * row_tiles * ROWS * task.channels
    sums = row_tiles * ROWS * (-(-task.channels // STREAMS) * STREAMS if task.gradient else pitch)
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
        row_parts=min(row_tiles, -(-8 // max(1, blocks))),
    )


def _fits(task: Task, grid: Grid) -> bool:
    """Whether the pass is a float32 convolution of images by 3x3 taps at equal distances, without a stride."""
    flat = task.source[0] == task.target[0] == 1 and grid.kernel == (1, 3, 3)
    unstrided = grid.stride == grid.step == (1, 1, 1)
    return flat and unstrided and task.itemsize == 4 and task.images > 0


def _pays(task: Task, pixels: int, tiles: int) -> bool:
    """Whether this method is estimated to be clearly faster than the direct one for an image."""
    row_tiles, per_step = -(-task.rows // ROWS), ROWS * STREAMS / 2
    products = SIZE * SIZE * row_tiles * task.channels * per_step / strip_length("f4")
    transforms = (task.channels + task.rows) * _TRANSFORM_CYCLES
    weights = task.channels * row_tiles * _WEIGHT_CYCLES
    direct = 9 * task.channels * row_tiles * per_step * pixels / strip_length("f4")
    return tiles * (products + transforms) + weights < 0.9 * direct


def _block(task: Task, tiles: int) -> int:
    """Tiles of a block: what fits the cache or at least three strips, but four blocks where strips suffice."""
    strip = strip_length("f4")
    per_tile = SIZE * SIZE * (task.channels + -(-task.rows // ROWS) * ROWS) * task.itemsize
    return strip * max(1, min(max(3, _CACHE_BYTES // per_tile // strip), -(-tiles // strip) // 4))


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
