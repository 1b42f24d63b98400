"""Which method computes a convolution: one decision, for running it and for telling its workspace beforehand."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from segcaffe.kernels.convolution import columns, spread, whole
from segcaffe.kernels.convolution.blocks import BlockGradient, Blocks
from segcaffe.kernels.convolution.depthwise import plan as depthwise
from segcaffe.kernels.convolution.depthwise.lanes import Lanes
from segcaffe.kernels.convolution.depthwise.planes import Planes, PlanesGradient
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.panels import plan as panels
from segcaffe.kernels.convolution.panels.method import Panels
from segcaffe.kernels.convolution.plan import make_plan
from segcaffe.kernels.convolution.problem import Grid, Problem, Task
from segcaffe.kernels.convolution.winograd.plan import make_layout
from segcaffe.kernels.convolution.winograd.tiles import TileGradient, Tiles
from segcaffe.kernels.convolution.winograd.transforms import STEP
from segcaffe.kernels.convolution.winograd_panels import plan as winograd_panels
from segcaffe.kernels.convolution.winograd_panels.method import PanelTiles
from segcaffe.kernels.vector.scratch import Bytes, largest
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]


class Method(Protocol):
    """How the output, or the gradient of x, is computed."""

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""

    def workspace(self) -> Bytes:
        """What it takes, by name (see `scratch`), in bytes, all threads together."""


class GradientMethod(Protocol):
    """How the weights' gradient is computed."""

    adds_bias: bool
    """Whether the bias' gradient is added on the way."""
    overwrites: bool
    """Whether ``beta`` may be 0, so that nothing needs to be cleared before."""

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``beta * grad_weight``."""

    def workspace(self) -> Bytes:
        """As of `Method`."""


@dataclass(frozen=True)
class Passes:
    """The gradient of x of a strided convolution, phase by phase; ``missing`` says that some pixels belong to none."""

    passes: tuple[Blocks | Tiles, ...]
    missing: bool

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        if self.missing:
            nothing = 0 if epilogue.is_identity else epilogue.of_zero(target.shape[1], target.ndim)
            calls.call(np.copyto, target, nothing)
        for one in self.passes:
            one.run(source, weight, epilogue, target)

    def workspace(self) -> Bytes:
        """The most of each pass."""
        return largest(*(one.workspace() for one in self.passes))


_soonest: ContextVar[bool] = ContextVar("the method that compiles soonest", default=False)


@contextmanager
def compiled_soon(wanted: bool = True) -> Iterator[None]:
    """While it lasts convolutions go by columns, where they can: slower, but compiled in a third of the time.

    For few passes of small nets by a process that may have to compile all its kernels.
    """
    token = _soonest.set(wanted)
    try:
        yield
    finally:
        _soonest.reset(token)


def choose(problem: Problem) -> Method:
    """The method for the output, or for the gradient of x."""
    if max(problem.lanes) > 1:
        return _in_blocks(problem)
    if _soonest.get() and problem.group == 1 and not problem.gradient:
        return columns.ColumnsBack(problem) if problem.transposed else columns.Columns(problem)
    return _fastest(problem)


@functools.lru_cache(maxsize=1024)
def _in_blocks(problem: Problem) -> Method:
    """The method where channels of the image, of the output or of both lie in blocks."""
    if depthwise.fits(problem) and problem.group > 1:
        return Lanes(problem)
    return Panels(panels.make_plan(problem))


@functools.lru_cache(maxsize=1024)
def _fastest(problem: Problem) -> Method:
    if depthwise.fits(problem):
        return Planes(depthwise.make_plan(problem))
    if whole.fits(problem):
        return whole.Whole()
    task, grids = problem.passes()
    by_columns = columns.is_better(problem)
    if problem.transposed:
        layouts = [layout for grid in grids if (layout := make_layout(task, grid)) is not None]
        turned = problem.turned()
        by_tiles = None if turned is None else winograd_panels.make_plan(turned)
        # Of many pixels those panels are read too often that are too large for the faster form.
        if by_tiles is not None and (by_tiles.layout.step == STEP or by_columns or not layouts):
            return PanelTiles(by_tiles, turned=True)
        computed = STEP**2 * sum(layout.tiles for layout in layouts)
        if by_columns and (not layouts or columns.is_better_than_winograd(problem, computed)):
            return columns.ColumnsBack(problem)
        missing = sum(math.prod(grid.extent) for grid in grids) < math.prod(task.target)
        return Passes(tuple(_pass(task, grid, True) for grid in grids), missing)
    (grid,) = grids
    by_tiles = winograd_panels.make_plan(problem)
    if by_tiles is not None:
        return PanelTiles(by_tiles)
    if make_layout(task, grid) is None:
        if panels.is_better(problem):
            return Panels(panels.make_plan(problem))
        if by_columns:
            return columns.Columns(problem)
        if spread.is_better(problem, make_plan(task, grid)):
            return spread.Spread(problem)
        if columns.is_better(problem, few_rows=True):
            return columns.Columns(problem)
    return _pass(task, grid, False)


@functools.lru_cache(maxsize=1024)
def choose_gradient(problem: Problem) -> GradientMethod:
    """The method for the weights' gradient."""
    if depthwise.fits(problem):
        return PlanesGradient(depthwise.make_plan(problem))
    task, (grid,) = problem.passes()
    layout = make_layout(task, grid)
    if layout is not None and problem.outputs > columns.FEWER_PIXELS[1]:
        return TileGradient(layout)
    if columns.is_better_for_gradient(problem):
        return columns.ColumnGradient(problem)
    plan = make_plan(task, grid)
    return spread.SpreadGradient(problem) if spread.is_better(problem, plan) else BlockGradient(plan)


def _pass(task: Task, grid: Grid, transposed: bool) -> Blocks | Tiles:
    layout = make_layout(task, grid)
    return Blocks(make_plan(task, grid), transposed) if layout is None else Tiles(layout, grid, transposed)
