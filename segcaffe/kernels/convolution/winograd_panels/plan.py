"""Where Winograd's method pays with weights that are transformed once, and how it goes through memory."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution.panels.plan import cut_groups, make_panels, parts_for
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.convolution.winograd.transforms import FORMS
from segcaffe.kernels.vector.tile import ROWS, STREAMS, vector_length

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
_BLOCK_BYTES = 1 << 19
"""What the transformed input of a block may take; twice as much where weights are large, which each block reads."""
_LARGE_BYTES = 1 << 20
_WEIGHT_BYTES = {2: 1 << 23, 4: 1 << 22}
"""What transformed weights may take, by form: larger ones are read from memory for too few products."""
_TILE_BYTES = {2: 3 << 17, 4: 3 << 16}
"""What they may take, instead, for each tile that they serve."""
_INPUT_CYCLES = {2: 130.0, 4: 330.0}
"""Cost in cycles of transforming a vector of tiles of one channel."""
_OUTPUT_CYCLES = {2: 110.0, 4: 300.0}
"""The same of one tile of a vector of outputs."""
_BYTES = 5.0
"""Of weights that come from memory in a cycle."""
_LEAST_TILES = 12


class Layout(NamedTuple):
    """The sizes that the compiled loops need.

    ``step`` tells the form, ``size`` what a tile reads; ``pitch`` is the number of elements between channels of the
    transformed input, ``input_step`` and ``sum_step`` those between the matrices of input and sums, ``row_length`` that
    between the rows of pixels that tiles are made of; ``parts`` is into how many a block's groups are divided.
    """

    step: int
    size: int
    channels: int
    outputs: int
    groups: int
    panels: int
    source: Pair
    target: Pair
    low: Pair
    pitch: int
    input_step: int
    sum_step: int
    row_length: int
    vector: int
    parts: int


class Tables(NamedTuple):
    """What the loops look up.

    ``offsets`` (channels,) and ``places`` (tiles of a block,) in a matrix of the input; ``blocks`` (blocks, 4), ranges
    of ``runs`` and ``groups``; ``runs`` (runs, 5) of tiles in one row: image, row and column of the first one, tiles,
    number in the block; ``groups`` and ``panels`` as for panels.
    """

    offsets: Array
    places: Array
    blocks: Array
    runs: Array
    groups: Array
    panels: Array


class Plan(NamedTuple):
    """A layout with its tables, and the numbers of images, vectors of outputs, and rows of each group."""

    layout: Layout
    tables: Tables
    images: int
    vectors: int
    rows: int
    cycles: float

    def parts(self, threads: int) -> int:
        """Into how many parts groups of tiles are divided, as `panels.plan.Plan.parts`."""
        blocks = self.tables.blocks
        return parts_for(threads, len(blocks) * self.layout.panels, int((blocks[:, 3] - blocks[:, 2]).min()))

    @property
    def packed(self) -> int:
        """Elements of the transformed weights."""
        return self.layout.size**2 * self.vectors * self.layout.vector * self.layout.channels

    @property
    def inputs(self) -> int:
        """Elements of a block's transformed input."""
        return self.layout.size**2 * self.layout.input_step

    @property
    def sums(self) -> int:
        """Elements of a panel's sums of a block."""
        return self.layout.size**2 * self.layout.sum_step


@functools.lru_cache(maxsize=1024)
def make_plan(problem: Problem) -> Plan | None:
    """The plan of the cheaper form, or None where neither is clearly cheaper than the direct way, or possible."""
    if not _fits(problem):
        return None
    length = vector_length("f4")
    vectors, pixels = -(-problem.target[1] // problem.group // length), math.prod(problem.target[2:])
    channels = problem.weight[1]
    direct = 9.0 * channels * vectors * pixels * problem.source[0]
    costs = {step: _cycles(problem, step, vectors) for step in FORMS}
    step = min(costs, key=lambda step: costs[step])
    return plan_of_form(problem, step, costs[step] * problem.group) if costs[step] < 0.9 * direct else None


def _fits(problem: Problem) -> bool:
    """Whether it is the output of a plain 3x3 convolution of images in float32, on a processor with wide registers."""
    plain = problem.kernel == (3, 3) and set(problem.stride) == {1} and set(problem.dilation) == {1}
    ours = not problem.transposed and not problem.gradient and problem.itemsize == 4 and problem.source[0] > 0
    return plain and ours and vector_length("f4") >= max(ROWS, 8) and min(problem.target[2:]) > 0


def _cycles(problem: Problem, step: int, vectors: int) -> float:
    """The estimated cost of a group."""
    size, length, channels = FORMS[step].size, vector_length("f4"), problem.weight[1]
    tiles = problem.source[0] * math.prod(-(-n // step) for n in problem.target[2:])
    weights = size**2 * channels * vectors * length * 4
    most = max(_WEIGHT_BYTES[step], _TILE_BYTES[step] * tiles)
    if weights * problem.group > most or tiles < _LEAST_TILES:
        return math.inf
    products = float(size**2 * channels * vectors * tiles)
    loads = weights / _BYTES
    inputs = channels * (-(-tiles // length) + 0.5) * _INPUT_CYCLES[step]
    return max(products, loads) + inputs + vectors * tiles * _OUTPUT_CYCLES[step]


def plan_of_form(problem: Problem, step: int, cycles: float) -> Plan:
    """The plan of one form, of estimated cost."""
    length, channels, size = vector_length("f4"), problem.weight[1], FORMS[step].size
    rows, columns = (-(-n // step) for n in problem.target[2:])
    tiles = problem.source[0] * rows * columns
    block = _block(tiles, size**2 * channels * 4, -(-problem.target[1] // length) * length)
    pitch = max(length, -(-block // ROWS) * ROWS)
    panels = make_panels(problem.group, problem.target[1] // problem.group, length)
    blocks, runs, groups = _blocks(problem.source[0], rows, columns, block)
    vectors = problem.group * -(-problem.target[1] // problem.group // length)
    most = int((blocks[:, 3] - blocks[:, 2]).max())
    layout = Layout(
        step=step,
        size=size,
        channels=channels,
        outputs=problem.target[1],
        groups=problem.group,
        panels=len(panels),
        source=problem.source[2:],  # type: ignore[arg-type]
        target=problem.target[2:],  # type: ignore[arg-type]
        low=problem.pad,  # type: ignore[arg-type]
        pitch=pitch,
        input_step=channels * pitch,
        sum_step=most * STREAMS * ROWS * length,
        row_length=step * (block + length) + length,
        vector=length,
        parts=1,
    )
    tables = Tables(np.arange(channels) * pitch, np.arange(pitch + ROWS), blocks, runs, groups, panels)
    return Plan(layout, tables, problem.source[0], vectors, problem.target[1] // problem.group, cycles)


def _block(tiles: int, tile_bytes: int, outputs: int) -> int:
    """Tiles of a block: all where they are few, else a number that is computed without a rest."""
    most = (1 + (tile_bytes * outputs > _LARGE_BYTES)) * _BLOCK_BYTES // tile_bytes // ROWS * ROWS
    if tiles <= 9 * most // 4:
        return tiles
    block = -(-tiles // -(-tiles // max(ROWS, most)))
    exact = sum(size for _, size in cut_groups(block)) == block
    return block if exact else -(-block // ROWS) * ROWS


def _blocks(images: int, rows: int, columns: int, block: int) -> tuple[Array, Array, Array]:
    """The tables of blocks, runs and groups."""
    blocks: list[tuple[int, ...]] = []
    runs: list[tuple[int, ...]] = []
    groups: list[tuple[int, int]] = []
    total = images * rows * columns
    for first in range(0, total, block):
        last = min(first + block, total)
        begin, tile = (len(runs), len(groups)), first
        while tile < last:
            line, column = divmod(tile, columns)
            count = min(columns - column, last - tile)
            runs.append((line // rows, line % rows, column, count, tile - first))
            tile += count
        groups += cut_groups(last - first)
        blocks.append((begin[0], len(runs), begin[1], len(groups)))
    tables = (np.array(table, np.int64) for table in (blocks, runs, groups))
    return next(tables), next(tables), next(tables)
