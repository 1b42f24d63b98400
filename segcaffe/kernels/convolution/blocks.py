"""Convolution by blocks of the image, copied into the cache, times weights packed for the vector registers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution import loops
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.plan import Plan
from segcaffe.kernels.vector.scratch import Bytes, prepared, scratch
from segcaffe.kernels.vector.tile import ROWS
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]

_PIECES = 4
"""Pieces of the weights' gradient for each thread."""


@dataclass(frozen=True)
class Blocks:
    """One pass; ``transposed`` says that the weights' first axis belongs to the source."""

    plan: Plan
    transposed: bool = False

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite the positions of ``target`` that belong to the pass."""
        plan, layout = self.plan, self.plan.layout
        packed = self._pack(weight)
        table = epilogue.table(layout.groups, layout.rows, plan.tiles * ROWS, source.dtype)
        arrays = source.reshape(-1), packed, table, target.reshape(-1)

        def part(start: int, stop: int) -> Any:
            memory = _memory(plan, source.dtype)
            if plan.pixelwise:
                sizes = layout.groups, layout.channels, layout.rows, plan.pixels, layout.strip, plan.span
                panels = scratch("convolution_copy", layout.channels * layout.strip * plan.span, source.dtype)
                return ((loops.convolve_pixels, (*arrays, sizes, panels, memory.lines, start, stop)),)
            return ((loops.convolve, (*arrays, layout, plan.tables, memory, start, stop)),)

        calls.run_cycles(plan.items, plan.cycles, part)

    def workspace(self) -> Bytes:
        """Packed weights, and in every thread copies and lines of results."""
        plan = self.plan
        packed = plan.layout.groups * plan.tiles * ROWS * plan.depth * plan.itemsize
        return {"packed": packed} | _block_bytes(plan, plan.pixelwise)

    def _pack(self, weight: Array) -> Array:
        plan = self.plan
        places, row_stride, group_stride = self._index(weight)
        tiles = plan.layout.groups * plan.tiles
        together = int(places[-1] - places[0] == places.size - 1) and not self.transposed
        sizes = plan.layout.rows, row_stride, group_stride, plan.tiles, together * plan.layout.vector

        def fill(packed: Array) -> None:
            def part(start: int, stop: int) -> Any:
                return ((loops.pack_weights, (weight.reshape(-1), packed, places, *sizes, start, stop)),)

            calls.run_cycles(tiles, 2.0 * packed.size, part)

        return prepared("packed", tiles * ROWS * places.size, weight.dtype, fill)

    def _index(self, weight: Array) -> tuple[Array, int, int]:
        """Where the factors of one row lie in the flattened weights, and how far apart rows and groups are."""
        layout, taps = self.plan.layout, math.prod(weight.shape[2:])
        row = weight.shape[1] * taps
        between_channels, between_rows = (row, taps) if self.transposed else (taps, row)
        rows_of_group = layout.channels if self.transposed else layout.rows
        places = (np.arange(layout.channels)[:, None] * between_channels + self.plan.places).ravel()
        return places, between_rows, rows_of_group * row


@dataclass(frozen=True)
class BlockGradient:
    """The weights' gradient, and the bias' on the way."""

    plan: Plan
    adds_bias = True
    overwrites = False

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``grad_weight`` and ``grad_bias``."""
        plan, layout = self.plan, self.plan.layout
        others = layout.parts * layout.groups * layout.chunks
        # Each part of the rows copies the source anew. How many there are changes no sum.
        wanted = -(-_PIECES * parallel.num_threads() // max(1, others)) if parallel.num_threads() > 1 else 1
        layout = layout._replace(row_parts=min(layout.row_parts, wanted))
        sums = np.zeros(self._sums(), x.dtype)
        bias_sums = np.zeros(0 if grad_bias is None else layout.parts * layout.groups * layout.rows)
        arrays = x.reshape(-1), grad_out.reshape(-1), sums, bias_sums

        def part(start: int, stop: int) -> None:
            loops.weight_gradient(*arrays, layout, plan.tables, _memory(plan, x.dtype), start, stop)

        parallel.run_cycles(others * layout.row_parts, plan.cycles, part)
        self._add_parts(sums, grad_weight)
        if grad_bias is not None:
            grad_bias += bias_sums.reshape(layout.parts, -1).sum(axis=0)

    def workspace(self) -> Bytes:
        """Copies and lines of gradients in every thread, and the parts of the sums."""
        return _block_bytes(self.plan) | {"convolution_gradient": self._sums() * self.plan.itemsize}

    def _sums(self) -> int:
        layout = self.plan.layout
        return layout.parts * layout.groups * self.plan.tiles * layout.chunks * self.plan.tables.offsets.size * ROWS

    def _add_parts(self, sums: Array, grad_weight: Array) -> None:
        row, layout = grad_weight[0].size, self.plan.layout
        sizes = len(self.plan.tables.taps), self.plan.tables.offsets.size

        def part(start: int, stop: int) -> None:
            loops.add_parts(sums, layout, *sizes, grad_weight.reshape(-1), row, layout.rows * row, start, stop)

        parallel.run_cycles(layout.groups * self.plan.tiles, 2.0 * sums.size, part)


def _memory(plan: Plan, dtype: Any) -> loops.Memory:
    """The calling thread's memory for a block."""
    segments = 2 * plan.layout.segments
    return loops.Memory(
        scratch("convolution_copy", plan.buffer, dtype),
        scratch("convolution_lines", ROWS * plan.layout.positions, dtype),
        scratch("convolution_table", segments * loops.FIELDS, np.int64).reshape(segments, loops.FIELDS),
    )


def _block_bytes(plan: Plan, pixelwise: bool = False) -> Bytes:
    """What `_memory` takes in all threads; for single pixels their panels take the place of the copy."""
    panels = plan.layout.channels * plan.layout.strip * plan.span if pixelwise else 0
    threads = parallel.threads_for(plan.items) * plan.itemsize
    return {
        "convolution_copy": max(plan.buffer, panels) * threads,
        "convolution_lines": ROWS * plan.layout.positions * threads,
    }
