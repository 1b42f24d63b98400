"""Depthwise convolution by kernels of 3x3 where channels lie in blocks: the channels of a block are in the lanes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels.convolution.depthwise import lane_loops
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.panels.method import lanes_of
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.kernels.vector.scratch import Bytes, prepared
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]
_CYCLES = 12.0
"""Of a pixel of a block."""


class Layout(NamedTuple):
    """Sizes of source and target, (height, width) each, blocks of an image; and of the window, by rows and columns.

    ``inner`` are the target's columns, (first, end), that see no column outside the source.
    """

    blocks: int
    lanes: int
    source: tuple[int, int]
    target: tuple[int, int]
    stride: tuple[int, int]
    low: tuple[int, int]
    dilation: tuple[int, int]
    inner: tuple[int, int]


@dataclass(frozen=True)
class Lanes:
    """The output."""

    problem: Problem

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``; no other array is added."""
        assert epilogue.addend is None
        layout = self._layout()
        table = lanes_of(epilogue, 1, weight.shape[0], layout.lanes, source.dtype)
        arrays = source.reshape(-1), self._pack(weight), table, target.reshape(-1), layout
        planes = math.prod(target.shape[:2])
        cycles = _CYCLES * planes * math.prod(layout.target)
        pairs = planes * -(-layout.target[0] // lane_loops.PAIR)
        calls.run_cycles(pairs, cycles, lambda *part: ((lane_loops.convolve, (*arrays, *part)),))

    def workspace(self) -> Bytes:
        """The packed weights."""
        return {"packed": math.prod(self.problem.weight) * self.problem.itemsize}

    def _pack(self, weight: Array) -> Array:
        """The weights as (blocks, taps, lanes)."""
        lanes, taps = self.problem.lanes[0], self.problem.taps

        def fill(packed: Array) -> None:
            packed.reshape(-1, taps, lanes)[...] = weight.reshape(-1, lanes, taps).transpose(0, 2, 1)

        return prepared("packed", weight.size, weight.dtype, fill)

    def _layout(self) -> Layout:
        problem = self.problem
        (height, width), (rows, columns) = problem.source[2:], problem.target[2:]
        (_, step), (_, low), (_, dilation) = problem.stride, problem.pad, problem.dilation
        first = min(columns, -(-low // step))
        end = max(first, min(columns, (width - 1 - 2 * dilation + low) // step + 1))
        return Layout(
            blocks=problem.source[1] // problem.lanes[0],
            lanes=problem.lanes[0],
            source=(height, width),
            target=(rows, columns),
            stride=problem.stride,  # type: ignore[arg-type]
            low=problem.pad,  # type: ignore[arg-type]
            dilation=problem.dilation,  # type: ignore[arg-type]
            inner=(first, end),
        )
