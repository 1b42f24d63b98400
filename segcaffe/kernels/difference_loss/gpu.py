"""Losses of differences on the GPU: one pass, sums by parts whose number depends on the size only."""

from __future__ import annotations

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch_blocks
from segcaffe.kernels.dist_loss.gpu import parts_of


def absolute(a: Array, b: Array | None, plateau: float, slope: Array, totals: Array) -> None:
    _run("absolute", (a, b, plateau, slope), a.size, totals)


def smooth(
    a: Array,
    b: Array,
    inside: Array | None,
    outside: Array | None,
    slope: Array,
    totals: Array,
    sharpness: float = 1.0,
) -> None:
    _run("smooth", (a, b, inside, outside, slope, sharpness), a.size, totals)


def squares(a: Array, b: Array, difference: Array, totals: Array) -> None:
    _run("squares", (a, b, difference), a.size, totals)


def _run(function: str, arguments: tuple[object, ...], size: int, totals: Array) -> None:
    parts = parts_of(size)
    partial = xp().empty((totals.size, parts), "float64")
    launch_blocks("difference_loss", function, parts, *arguments, partial, size)
    launch_blocks("difference_loss", "add_partial_sums", totals.size, partial, parts, totals)
