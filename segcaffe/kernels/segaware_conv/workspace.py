"""How much workspace a masked convolution takes on the CPU, by name (see `scratch`), in bytes."""

from __future__ import annotations

import math
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
        channels = parts(layout.channels, layout.channel_step) * group
        mask = layout.taps * math.prod((x[0], *out[2:]))
        # Whole tiles of channels need no columns, but for a tile at the image's edge.
        whole = layout.channels % ROWS == 0
        step = ROWS + 1 if whole else min(layout.channel_step, layout.channels) * layout.taps
        found += [
            _block(layout, layout.gradient_strips, step),
            {"segaware_lines": layout.gradient_strips * layout.rows * layout.strip * threads * itemsize},
            {"segaware_partial": itemsize * (channels * mask if channels > 1 else 0)},
            _weights(layout, min(layout.weight_step, layout.channels) * layout.taps),
        ]
    return largest(*found)


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
