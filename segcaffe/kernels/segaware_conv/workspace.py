"""How much workspace a masked convolution takes on the CPU, by name (see `scratch`), in bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels.segaware_conv.layout import Layout, make_layout, parts
from segcaffe.kernels.vector.scratch import Bytes, largest
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import parallel
from segcaffe.window import Window

Sizes = tuple[int, ...]


def workspace(x: Sizes, out: Sizes, window: Window, group: int, dtype: Any, backward: bool) -> Bytes:
    """Workspace of `forward`, and where ``backward`` of both gradients, of all threads together."""
    itemsize = np.dtype(dtype).itemsize
    layout = make_layout(x, out, window, group, itemsize)
    threads = parallel.num_threads()
    strips = layout.chunk_strips(threads)
    sums = strips * layout.tiles * ROWS * layout.strip * threads * itemsize
    chunk = _block(layout, strips, layout.chunk_channels * layout.taps)
    found = [chunk | _packed(layout) | {"segaware_lines": sums}]
    if backward:
        found.append(_gather(layout) if layout.gathers else _scatter(layout))
        found.append(_weights(layout, min(layout.weight_step, layout.channels) * layout.taps))
    return largest(*found)


def _gather(layout: Layout) -> Bytes:
    """What the gradients of image and masks take by strips of the image."""
    threads = parallel.num_threads()
    strips = layout.gather_strips(threads)
    images, lines = (size * threads * layout.itemsize for size in layout.gather_sizes(strips))
    table = layout.taps * layout.strip * strips * threads * layout.itemsize
    weights = layout.taps * layout.groups * parts(layout.channels, ROWS) * ROWS * layout.rows
    return {
        "packed": weights * layout.itemsize,
        "segaware_columns": images,
        "segaware_lines": lines,
        "segaware_sums": table,
        "segaware_tables": 2 * table,
        "segaware_partial": _partial(layout, layout.groups),
    }


def _scatter(layout: Layout) -> Bytes:
    """What they take by columns of the output's strips."""
    threads = parallel.num_threads()
    depth = min(layout.channel_step, layout.channels) * layout.taps
    lines = layout.gradient_strips * layout.rows * layout.strip * threads * layout.itemsize
    sums = _partial(layout, parts(layout.channels, layout.channel_step) * layout.groups)
    return _block(layout, layout.gradient_strips, depth) | {"segaware_lines": lines, "segaware_partial": sums}


def _partial(layout: Layout, count: int) -> int:
    """Masks' gradients in parts, unless there is one part."""
    return layout.itemsize * layout.images * layout.taps * layout.pixels * count if count > 1 else 0


def _weights(layout: Layout, depth: int) -> Bytes:
    """What the weights' gradient takes."""
    division = layout.panels
    if division is None:
        sums = layout.weight_parts * layout.groups * layout.tiles * (-(-layout.depth // STREAMS) * STREAMS) * ROWS
        return _block(layout, layout.weight_strips, depth) | {"segaware_gradient": layout.itemsize * sums}
    positions, threads = division.block * layout.strip, parallel.num_threads()
    channels = parts(division.step, ROWS) * ROWS
    return {
        "segaware_columns": threads * (positions + layout.reach) * channels * layout.itemsize,
        "segaware_lines": threads * positions * layout.tiles * ROWS * layout.itemsize,
        "segaware_sums": threads * division.together * layout.strip**2 * layout.itemsize,
        "segaware_tables": 2 * layout.taps * positions * threads * layout.itemsize,
        "segaware_gradient": (division.parts + 1) * layout.panel_sums(division) * layout.itemsize,
    }


def _packed(layout: Layout) -> Bytes:
    return {"packed": layout.groups * layout.tiles * ROWS * layout.depth * layout.itemsize}


def _block(layout: Layout, strips: int, depth: int) -> Bytes:
    """Columns, and tables with two entries for each tap, of a block of strips in every thread."""
    positions = strips * layout.strip * parallel.num_threads() * layout.itemsize
    return {"segaware_columns": depth * positions, "segaware_tables": 2 * layout.taps * positions}
