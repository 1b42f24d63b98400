"""Calls of the kernels over regions, and of those that bring values to places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.gpu.cases import add, empty, normal

HIGH, WIDE, SAMPLES = 3, 2, 2


def _tables(rng: np.random.Generator, bins: int, extent: int) -> np.ndarray:
    """Bins (4, bins, 2) within the extent, some of them empty."""
    begin = rng.integers(0, extent + 1, (4, bins))
    return np.stack([begin, np.minimum(begin + rng.integers(0, 4, (4, bins)), extent)], axis=-1).astype(np.int32)


def _bins(rng: np.random.Generator) -> dict[str, Any]:
    item = np.array([1, 0, 1, 1], np.int32)
    return {"item": item, "rows": _tables(rng, HIGH, 6), "columns": _tables(rng, WIDE, 7)}


def _places(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    low = np.concatenate([rng.integers(-1, 6, (4, HIGH * SAMPLES)), rng.integers(-1, 7, (4, WIDE * SAMPLES))], axis=1)
    weight = rng.uniform(0, 1, low.shape).astype(dtype)
    return {"item": np.array([1, 0, 1, 1], np.int32), "low": low.astype(np.int32), "weight": weight}


@add("regions", "max_forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    outputs = {"y": empty(dtype, 4, 5, HIGH, WIDE), "place": empty(np.int32, 4, 5, HIGH, WIDE)}
    return {"x": normal(rng, dtype, 2, 5, 6, 7), **_bins(rng), **outputs}


@add("regions", "max_backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    place = rng.integers(-1, 42, (4, 5, HIGH, WIDE)).astype(np.int32)
    item = np.array([1, 0, 1, 1], np.int32)
    dy = normal(rng, dtype, 4, 5, HIGH, WIDE)
    return {"dy": dy, "item": item, "place": place, "dx": empty(dtype, 2, 5, 6, 7)}


@add("regions", "mean_forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"x": normal(rng, dtype, 2, 5 * HIGH * WIDE, 6, 7), **_bins(rng), "y": empty(dtype, 4, 5, HIGH, WIDE)}


@add("regions", "mean_backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    dx = empty(dtype, 2, 5 * HIGH * WIDE, 6, 7)
    return {"dy": normal(rng, dtype, 4, 5, HIGH, WIDE), **_bins(rng), "dx": dx}


@add("regions", "sample_forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"x": normal(rng, dtype, 2, 5, 6, 7), **_places(rng, dtype), "y": empty(dtype, 4, 5, HIGH, WIDE)}


@add("regions", "sample_backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return {"dy": normal(rng, dtype, 4, 5, HIGH, WIDE), **_places(rng, dtype), "dx": empty(dtype, 2, 5, 6, 7)}


def _unpooled(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    """Places of 6 x 7 pixels, some of them several times or not at all."""
    places = rng.integers(-1, 42, (5, 31)).astype(dtype)
    return {"x": normal(rng, dtype, 5, 31), "places": places, "y": empty(dtype, 5, 42), "bad": empty(np.int64, 1)}


@add("unpool", "forward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    return _unpooled(rng, dtype)


@add("unpool", "forward", "bad place")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    arguments = _unpooled(rng, dtype)
    arguments["places"][2, 4:6] = [42, np.nan]
    return arguments


@add("unpool", "backward")
def _(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    arguments = _unpooled(rng, dtype)
    return {"dy": normal(rng, dtype, 5, 42), "places": arguments["places"], "dx": empty(dtype, 5, 31)}
