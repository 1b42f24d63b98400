"""Depthwise convolution plane by plane: how the output and the gradients are computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.depthwise import loops
from segcaffe.kernels.convolution.depthwise.plan import Plan
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.vector.scratch import Bytes
from segcaffe.kernels.vector.tile import vector_length
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Planes:
    """The output, or the gradient of x."""

    plan: Plan

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        layout, taps, segments, cycles = self.plan
        table = epilogue.table(layout.channels, 1, 1, source.dtype)
        arrays = source.reshape(-1), weight.reshape(-1), table, target.reshape(-1)

        def part(start: int, stop: int) -> Any:
            if layout.sliding:
                return ((loops.slide_planes, (*arrays, layout, start, stop)),)
            return ((loops.convolve_planes, (*arrays, layout, taps, segments, start, stop)),)

        count = math.prod(target.shape[:2])
        calls.run_cycles(count, cycles * count, part)

    def workspace(self) -> Bytes:
        """None: everything is read where it lies."""
        return {}


@dataclass(frozen=True)
class PlanesGradient:
    """The weights' gradient."""

    plan: Plan
    adds_bias = False
    overwrites = False

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``grad_weight``, channel by channel, the images in order."""
        layout, taps, segments, cycles = self.plan
        arrays = x.reshape(-1), grad_out.reshape(-1), grad_weight.reshape(-1)
        images, lanes = len(x), vector_length(x.dtype)

        def part(start: int, stop: int) -> None:
            loops.weight_gradient(*arrays, images, layout, taps, segments, lanes, start, stop)

        parallel.run_cycles(layout.channels, cycles * images * layout.channels, part)

    def workspace(self) -> Bytes:
        """None but for the sums of one channel."""
        return {}
