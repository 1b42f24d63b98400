"""3x3 convolution by Winograd's method with panels of weights that are transformed and packed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.panels.method import lanes_of
from segcaffe.kernels.convolution.winograd_panels import loops, turned
from segcaffe.kernels.convolution.winograd_panels.plan import Plan
from segcaffe.kernels.vector.scratch import Bytes, prepared, scratch
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PanelTiles:
    """The output, or the gradient of x: ``turned`` says that the weights' first axis belongs to the source."""

    plan: Plan
    turned: bool = False

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        plan, tables = self.plan, self.plan.tables
        parts = plan.parts(parallel.num_threads())
        layout = plan.layout._replace(parts=parts)
        # What other arrays add comes when pixels have been written.
        later = epilogue.addend is not None
        table = lanes_of(epilogue._replace(slope=1.0) if later else epilogue, layout.groups, plan.rows, layout.vector)
        arrays = source.reshape(-1), self._pack(weight), table, target.reshape(-1), layout, tables
        blocks = len(tables.blocks)
        ready = blocks * layout.groups == 1
        shared = self._transformed(source) if ready else None

        def part(start: int, stop: int) -> Any:
            inputs = self._inputs() if shared is None else shared
            memory = (
                inputs,
                self._rows(),
                scratch("winograd_sums", plan.sums, np.float32),
                scratch("winograd_edge", layout.step**2 * layout.vector, np.float32),
            )
            return ((loops.convolve, (*arrays, memory, ready, start, stop)),)

        calls.run_cycles(blocks * layout.panels * parts, plan.cycles, part)
        if later:
            rest = Epilogue(None, None, epilogue.slope, epilogue.addend)
            for number, image in enumerate(target):
                rest.apply_to_image(image, image=number)

    def workspace(self) -> Bytes:
        """Transformed weights, inputs and sums."""
        blocks, layout = len(self.plan.tables.blocks), self.plan.layout
        threads = parallel.threads_for(blocks * layout.panels * self.plan.parts(parallel.num_threads()))
        shared = blocks * layout.groups == 1
        return {
            "packed": 4 * self.plan.packed,
            "winograd_inputs": 4 * self.plan.inputs * (1 if shared else threads),
            "winograd_sums": 4 * self.plan.sums * threads,
        }

    def _transformed(self, source: Array) -> Array:
        """The only block's transformed input."""
        inputs, layout, tables = self._inputs(), self.plan.layout, self.plan.tables

        def part(start: int, stop: int) -> Any:
            return ((loops.transform_block, (source.reshape(-1), layout, tables, inputs, self._rows(), start, stop)),)

        calls.run_cycles(layout.channels, 20.0 * len(tables.places) * layout.channels, part)
        return inputs

    def _inputs(self) -> Array:
        return scratch("winograd_inputs", self.plan.inputs, np.float32)

    def _rows(self) -> Array:
        return scratch("winograd_rows", 2 * self.plan.layout.size * self.plan.layout.row_length, np.float32)

    def _pack(self, weight: Array) -> Array:
        layout, panels = self.plan.layout, self.plan.tables.panels
        transform = turned.transform_weights if self.turned else loops.transform_weights

        def fill(packed: Array) -> None:
            def part(start: int, stop: int) -> Any:
                return ((transform, (weight.reshape(-1), packed, layout, panels, start, stop)),)

            calls.run_cycles(len(panels), 5.0 * packed.size, part)

        return prepared("packed", self.plan.packed, weight.dtype, fill)
