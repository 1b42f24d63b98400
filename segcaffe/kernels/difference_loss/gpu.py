"""Losses of differences on the GPU, by array operations."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from segcaffe.device.mode import Array, xp


def absolute(a: Array, b: Array | None, plateau: float, slope: Array, totals: Array) -> None:
    difference = a if b is None else a - b
    known = ~xp().isnan(difference)
    counts = known & (xp().abs(difference) >= plateau)
    slope[...] = xp().where(difference > 0, 1, -1) * counts
    totals[0] = xp().where(counts, xp().abs(difference), 0).sum(dtype="float64")
    totals[1] = known.sum()


def smooth(a: Array, b: Array, inside: Array | None, outside: Array | None, slope: Array, totals: Array) -> None:
    w = 1 if inside is None else inside
    v = 1 if outside is None else outside
    difference = w * (a - b)
    derivative = xp().clip(difference, -1, 1)
    totals[0] = (v * derivative * (difference - derivative / 2)).sum(dtype="float64")
    slope[...] = v * w * derivative


def squares(a: Array, b: Array, difference: Array, totals: Array) -> None:
    difference[...] = a - b
    totals[0] = (difference * difference).sum(dtype="float64")
