"""Which algorithm takes a masked convolution on a GPU: columns made in shared memory ("fused"), or written for cuBLAS.

Both do the same multiply-adds. The fused kernels save the columns' way to the cache and back, but reach a smaller share
of a device's peak than cuBLAS and know fp32 products only. The rule estimates the seconds of each on a device like an
A100; where the two are close, either will do. Its constants are data sheets' and shares expected from the number of
instructions, not measurements.
"""

from __future__ import annotations

import functools
import math
import os
from dataclasses import dataclass
from typing import Literal, cast

from segcaffe import device
from segcaffe.device.settings import Math
from segcaffe.errors import DeviceError

Algorithm = Literal["fused", "columns"]
Kind = Literal["forward", "data", "both", "weight"]
"""What is computed: the output, the gradient of x, that of the mask too (or alone), or that of the weights."""

VARIABLE = "SEGCAFFE_GPU_COLUMNS"
"""The environment variable that decides for all shapes: fused, columns, or auto."""
PRODUCTS = 9.7e12
"""fp32 multiply-adds a second."""
TF32 = 4.0
"""How many times as fast cuBLAS is with TF32, products of a convolution's size; 8 is the most."""
CACHE_BYTES = 4e12
"""Bytes a second to and from the second-level cache, where a part of the columns stays."""
LAUNCH = 4e-6
"""Seconds that a launch costs where others follow."""
BLAS_SHARE = 0.9
"""The share of the peak that cuBLAS reaches."""
FUSED_SHARE = {128: 0.75, 64: 0.65}
"""The share that fused kernels reach, by a tile's height: 64 multiply-adds to 4 reads of shared memory, or 32 to 3."""
MULTIPROCESSORS = 108
PART_BYTES = 16 << 20
"""Bytes of columns made at a time, where that leaves enough for a product."""
TILE = 128
"""Targets of a tile: positions, pixels, or two strips of channels for the weights' gradient."""
_STRIP = TILE // 2
_LEAST_SLICES = 8
_MOST_PARTS_BYTES = 64 << 20


@dataclass(frozen=True)
class Shape:
    """A convolution: images, groups, channels and outputs of a group, taps, positions and pixels of an image."""

    num: int
    group: int
    channels: int
    outputs: int
    taps: int
    positions: int
    pixels: int
    itemsize: int = 4

    @property
    def products(self) -> int:
        """Multiply-adds, without padding."""
        return self.num * self.group * self.outputs * self.channels * self.taps * self.positions

    @property
    def column_bytes(self) -> int:
        """Bytes of all columns of all images."""
        return self.num * self.group * self.channels * self.taps * self.positions * self.itemsize


@dataclass(frozen=True)
class Tiles:
    """How a fused kernel divides its work: a tile's height, tiles down and across, steps of each sum, parts of it."""

    height: int
    down: int
    across: int
    steps: int
    parts: int

    @property
    def products(self) -> int:
        """Multiply-adds of all tiles, those on padding too."""
        return self.height * TILE * self.down * self.across * self.steps

    @property
    def fill(self) -> float:
        """The share of the multiprocessors' time that has work."""
        return _fill(self.down * self.across * self.parts)


def choose(kind: Kind, shape: Shape) -> Algorithm:
    """The algorithm that is forced, or else the one that is expected to take less time."""
    forced = forced_algorithm()
    if forced is not None:
        return forced
    return _faster(kind, shape, device.settings().math)


@functools.lru_cache(maxsize=1024)
def _faster(kind: Kind, shape: Shape, math_of_products: Math) -> Algorithm:
    return "fused" if fused_seconds(kind, shape) <= columns_seconds(kind, shape, math_of_products) else "columns"


def forced_algorithm() -> Algorithm | None:
    """What the environment demands, or None.

    Raises
    ------
    DeviceError
        The variable has another value than fused, columns or auto.
    """
    value = os.environ.get(VARIABLE, "auto")
    if value not in ("fused", "columns", "auto"):
        raise DeviceError(f"{VARIABLE} is fused, columns or auto. Received: {value}.")
    return None if value == "auto" else cast(Algorithm, value)


def fused_seconds(kind: Kind, shape: Shape) -> float:
    """Estimated seconds of the fused kernels."""
    tiles = tiles_of(kind, shape)
    rate = PRODUCTS * FUSED_SHARE[tiles.height] * tiles.fill * (0.5 if shape.itemsize == 8 else 1)
    # Parts of a divided sum are written and read again; packing and adding are launches of their own.
    moved = 2 * _result_bytes(kind, shape) * (tiles.parts if tiles.parts > 1 else 0)
    return tiles.products / rate + moved / CACHE_BYTES + LAUNCH * (2 + (tiles.parts > 1))


def columns_seconds(kind: Kind, shape: Shape, math_of_products: Math = "fp32") -> float:
    """Estimated seconds of columns and cuBLAS: columns are written and read, by two kernels where two gradients are."""
    tf32 = math_of_products == "tf32" and shape.itemsize == 4
    passes = 3 if kind == "both" else 2
    parts = math.ceil(shape.column_bytes / PART_BYTES)
    rate = PRODUCTS * BLAS_SHARE * _fill(_blas_blocks(kind, shape, parts)) * (TF32 if tf32 else 1)
    return shape.products / rate + passes * shape.column_bytes / CACHE_BYTES + LAUNCH * passes * parts


def _blas_blocks(kind: Kind, shape: Shape, parts: int) -> int:
    """Tiles of the product of one part, if cuBLAS makes them 64 by 64, times the blocks that divide a long sum."""
    depth, columns = shape.channels * shape.taps, shape.num * shape.positions
    if kind == "forward":
        return shape.group * math.ceil(shape.outputs / _STRIP) * math.ceil(columns / parts / _STRIP)
    if kind == "weight":
        divided = max(1, min(16, shape.positions // 1024))
        return shape.group * math.ceil(shape.outputs / _STRIP) * math.ceil(depth / parts / _STRIP) * divided
    return max(1, shape.group * depth * columns // parts // _STRIP**2)


def _fill(blocks: int) -> float:
    """The share of the multiprocessors' time that has work: the last round of blocks is half empty, on average."""
    return blocks / (blocks + MULTIPROCESSORS / 2)


@functools.lru_cache(maxsize=1024)
def tiles_of(kind: Kind, shape: Shape) -> Tiles:
    """The division with the least padding and the best fill: tall tiles where there are enough of them."""
    heights = (64,) if kind == "both" or shape.itemsize == 8 else (128, 64)
    choices = [tiles_of_height(kind, shape, height) for height in heights]
    return min(choices, key=lambda t: t.products / (FUSED_SHARE[t.height] * t.fill))


def tiles_of_height(kind: Kind, shape: Shape, height: int) -> Tiles:
    """The division into tiles of a height, with as many parts of each sum as give a multiprocessor two blocks."""
    if kind == "weight":
        rows, steps = shape.outputs, shape.num * shape.positions
        across, divisible = math.ceil(shape.taps * math.ceil(shape.channels / _STRIP) / 2), steps // 16
    else:
        rows = shape.outputs if kind == "forward" else shape.channels
        inputs = shape.channels if kind == "forward" else shape.outputs
        targets = shape.num * (shape.positions if kind == "forward" else shape.pixels)
        steps, across = shape.taps * inputs, math.ceil(targets / TILE)
        divisible = shape.taps if kind == "both" else shape.taps * math.ceil(inputs / 16)
    down = shape.group * math.ceil(rows / height)
    least = 1 if kind == "both" else _LEAST_SLICES
    wanted = 2 * MULTIPROCESSORS // (down * across) if down * across < MULTIPROCESSORS else 1
    most = min(divisible // least, _MOST_PARTS_BYTES // max(_result_bytes(kind, shape), 1))
    return Tiles(height, down, across, steps, max(1, min(wanted, most)))


def _result_bytes(kind: Kind, shape: Shape) -> int:
    """Bytes of what a fused kernel writes."""
    size = {
        "forward": shape.num * shape.outputs * shape.positions,
        "weight": shape.outputs * shape.channels * shape.taps,
    }
    return shape.group * shape.itemsize * size.get(kind, shape.num * shape.channels * shape.pixels)
