"""Convolution by panels of weights, which are packed once and read in the order in which they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.panels import block_loops, loops
from segcaffe.kernels.convolution.panels.plan import Plan
from segcaffe.kernels.convolution.panels.tile import AS_IT_IS, CLIPPED, FACTORS, SLOPED
from segcaffe.kernels.vector.scratch import Bytes, prepared, scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Panels:
    """The output."""

    plan: Plan

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        plan = self.plan
        parts = plan.parts(parallel.num_threads())
        layout = plan.layout._replace(parts=parts)
        ending = self._ending(epilogue, source.dtype)
        arrays = source.reshape(-1), self._pack(weight), ending, target.reshape(-1), layout, plan.tables

        def part(start: int, stop: int) -> Any:
            memory = (
                scratch("convolution_copy", plan.copy, source.dtype),
                scratch("convolution_sums", STREAMS * ROWS * layout.vector, source.dtype),
                scratch("convolution_lines", STREAMS * ROWS * layout.vector, source.dtype),
            )
            convolve = loops.convolve if layout.apart == 1 else block_loops.convolve
            return ((convolve, (*arrays, memory, start, stop)),)

        calls.run_cycles(plan.items * parts, plan.cycles, part)

    def workspace(self) -> Bytes:
        """Packed weights, and in every thread the copy of a band."""
        threads = parallel.threads_for(self.plan.items * self.plan.parts(parallel.num_threads()))
        return {
            "packed": self.plan.packed * self.plan.itemsize,
            "convolution_copy": self.plan.copy * self.plan.itemsize * threads,
        }

    def _pack(self, weight: Array) -> Array:
        plan, (offsets, *_, panels) = self.plan, self.plan.tables

        def fill(packed: Array) -> None:
            def part(start: int, stop: int) -> Any:
                sizes = offsets.size, plan.layout.vector
                return ((loops.pack_weights, (weight.reshape(-1), packed, panels, *sizes, start, stop)),)

            calls.run_cycles(len(panels), 2.0 * packed.size, part)

        return prepared("packed", plan.packed, weight.dtype, fill)

    def _ending(self, epilogue: Epilogue, dtype: Any) -> Any:
        """The epilogue as the loops take it."""
        lanes, kind = lanes_of(epilogue, self.plan.groups, self.plan.rows, self.plan.layout.vector, dtype)
        addend = np.empty(0, dtype) if epilogue.addend is None else epilogue.addend.reshape(-1)
        return (lanes, kind, epilogue.addend is not None), addend


def lanes_of(epilogue: Epilogue, groups: int, rows: int, length: int, dtype: Any = np.float32) -> tuple[Array, int]:
    """An epilogue's table (see `tile.FACTORS`) for the vectors of outputs of all groups, and its kind of rectifier."""
    table = np.zeros((groups, -(-rows // length), length, FACTORS), dtype)
    lines, shape = table.reshape(groups, -1, FACTORS)[:, :rows], (groups, rows)
    lines[..., 0] = 1 if epilogue.scale is None else epilogue.scale.reshape(shape)
    lines[..., 1] = 0 if epilogue.bias is None else epilogue.bias.reshape(shape)
    slope = epilogue.slope
    lines[..., 2] = slope.reshape(shape) if isinstance(slope, np.ndarray) else slope
    kind = SLOPED if isinstance(slope, np.ndarray) else {1.0: AS_IT_IS, 0.0: CLIPPED}.get(slope, SLOPED)
    return np.ascontiguousarray(table.transpose(0, 1, 3, 2)).reshape(-1), kind
