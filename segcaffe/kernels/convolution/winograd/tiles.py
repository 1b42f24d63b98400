"""Convolution by Winograd's method: tiles of the image are transformed, multiplied, and transformed back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.problem import Grid
from segcaffe.kernels.convolution.winograd import loops
from segcaffe.kernels.convolution.winograd.plan import Layout
from segcaffe.kernels.convolution.winograd.transforms import SIZE
from segcaffe.kernels.vector.scratch import Bytes, prepared, scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]
_MATRICES = SIZE * SIZE


@dataclass(frozen=True)
class Tiles:
    """One pass; ``transposed`` says that the weights' first axis belongs to the source."""

    layout: Layout
    grid: Grid
    transposed: bool = False

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        layout, taps = self.layout, 9
        row = weight.shape[1] * taps
        strides = (taps, row, layout.channels * row) if self.transposed else (row, taps, layout.rows * row)
        places = np.array([h * 3 + w for h in self.grid.places[1] for w in self.grid.places[2]])
        tiles = layout.groups * layout.row_tiles
        table = epilogue.table(layout.groups, layout.rows, layout.rows, source.dtype)
        flat = source.reshape(-1), (weight.reshape(-1), places, strides), table, target.reshape(-1)
        cycles = float(layout.tiles) * _MATRICES * layout.channels * tiles * ROWS

        def multiply(packed: Array, inputs: Array, start: int, stop: int) -> Any:
            sums = scratch("winograd_sums", _MATRICES * layout.sum_step, source.dtype)
            arguments = *flat, layout, packed, inputs, sums, *_memory(layout, source.dtype), start, stop
            return ((loops.convolve, arguments),)

        if layout.fresh:
            self._run_by_parts(source, multiply, cycles)
            return

        def fill(packed: Array) -> None:
            def part(start: int, stop: int) -> Any:
                return ((loops.transform_weights, (weight.reshape(-1), packed, layout, places, strides, start, stop)),)

            calls.run_cycles(tiles, 5.0 * packed.size, part)

        packed = prepared("packed", _MATRICES * layout.weight_step, weight.dtype, fill)
        # Parts of the rows transform their block anew: work for several threads only where blocks are few.
        parts = 1 if layout.items < 2 * parallel.num_threads() * layout.row_parts else layout.row_parts

        def part(start: int, stop: int) -> Any:
            inputs = scratch("winograd_inputs", _MATRICES * layout.input_step, source.dtype)
            return multiply(packed, inputs, start * parts, stop * parts)

        calls.run_cycles(layout.items // parts, cycles, part)

    def workspace(self) -> Bytes:
        """Transformed weights, inputs and sums."""
        layout, size = self.layout, 4 * _MATRICES
        threads = parallel.threads_for(layout.items)
        kernels = size * layout.weight_step
        return {
            **({"winograd_kernels": kernels * threads} if layout.fresh else {"packed": kernels}),
            "winograd_inputs": size * layout.input_step * (1 if layout.fresh else threads),
            "winograd_sums": size * layout.sum_step * threads,
        }

    def _run_by_parts(self, source: Array, multiply: Callable[[Array, Array, int, int], Any], cycles: float) -> None:
        """All tiles make one block: its input is transformed once, by all threads."""
        layout = self.layout
        inputs = scratch("winograd_inputs", _MATRICES * layout.input_step, source.dtype)
        for group in range(layout.groups):

            def transform(start: int, stop: int, group: int = group) -> Any:
                flat, memory = source.reshape(-1), _memory(layout, source.dtype)
                return ((loops.transform_block, (flat, flat, layout, group, 0, inputs, inputs, *memory, start, stop)),)

            def part(start: int, stop: int, first: int = group * layout.row_parts) -> Any:
                packed = scratch("winograd_kernels", _MATRICES * layout.weight_step, source.dtype)
                return multiply(packed, inputs, first + start, first + stop)

            calls.run_cycles(layout.channels, 20.0 * layout.tiles * layout.channels, transform)
            calls.run_cycles(layout.row_parts, cycles / layout.groups, part)


@dataclass(frozen=True)
class TileGradient:
    """The weights' gradient: block by block, its transforms first, then its products."""

    layout: Layout
    adds_bias = False
    overwrites = False

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``grad_weight``."""
        layout = self.layout
        inputs = scratch("winograd_inputs", _MATRICES * layout.input_step, x.dtype)
        grads = scratch("winograd_grads", _MATRICES * layout.weight_step, x.dtype)
        # The last vector of taps reads beyond the last sums.
        sums = scratch("winograd_sums", _MATRICES * layout.sum_step + layout.vector, x.dtype)
        offsets = np.minimum(np.arange(-(-layout.channels // STREAMS) * STREAMS), layout.channels - 1) * layout.pitch
        blocks = -(-layout.tiles // layout.block)
        cycles = float(layout.block) * layout.channels * layout.rows
        for group in range(layout.groups):
            sums[:] = 0
            for block in range(blocks):

                def transform(start: int, stop: int, group: int = group, block: int = block) -> None:
                    flat, memory = (x.reshape(-1), grad_out.reshape(-1)), _memory(layout, x.dtype)
                    loops.transform_block(*flat, layout, group, block, inputs, grads, *memory, start, stop)

                def correlate(start: int, stop: int, block: int = block) -> None:
                    loops.correlate_block(layout, block, offsets, inputs, grads, sums, start, stop)

                channels = layout.channels + layout.rows
                parallel.run_cycles(channels, 10.0 * layout.block * channels, transform)
                parallel.run_cycles(_MATRICES, cycles, correlate)

            def add(start: int, stop: int, group: int = group) -> None:
                first = group * layout.rows
                loops.add_gradient(sums, layout, offsets.size, grad_weight.reshape(-1), first, start, stop)

            parallel.run_cycles(layout.row_tiles, 2.0 * sums.size, add)

    def workspace(self) -> Bytes:
        """Transformed inputs and gradients, and sums."""
        layout, size = self.layout, 4 * _MATRICES
        steps = {"inputs": layout.input_step, "grads": layout.weight_step, "sums": layout.sum_step}
        return {f"winograd_{name}": size * step for name, step in steps.items()}


def _memory(layout: Layout, dtype: Any) -> tuple[Array, Array]:
    """The calling thread's memory for rows of pixels, and the table of runs of tiles."""
    table = scratch("winograd_table", layout.block * loops.FIELDS, np.int64)
    return scratch("winograd_rows", SIZE * layout.row_length, dtype), table.reshape(-1, loops.FIELDS)
