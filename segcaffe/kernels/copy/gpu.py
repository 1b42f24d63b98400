"""Copies on the GPU."""

from __future__ import annotations

from typing import Any

Array = Any


def copy(source: Array, target: Array) -> None:
    target[...] = source


def sum_copies(source: Array, out: Array) -> None:
    source.sum(axis=1, out=out)


def repeat(source: Array, target: Array) -> None:
    target[...] = source[:, None, :, None]
