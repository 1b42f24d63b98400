"""Masked convolution on the GPU by the kernels that make their columns in shared memory (``segaware_conv.cu``).

All images are in one grid. A sum that is divided among blocks is written in parts, which are added in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from segcaffe.device.mode import Array, xp
from segcaffe.kernels.cuda.compile import launch, launch_blocks
from segcaffe.kernels.im2col.gpu import Geometry
from segcaffe.kernels.segaware_conv.gpu_choice import Kind, Shape, Tiles, tiles_of


def shape_of(x: Array, out: Array, geometry: Geometry, group: int) -> Shape:
    """The sizes that decide how a convolution of x (N, C, *spatial) to ``out`` (N, M, *output) is divided."""
    channels, outputs = x.shape[1] // group, out.shape[1] // group
    sizes = (geometry.taps, geometry.positions, geometry.pixels, x.itemsize)
    return Shape(len(x), group, channels, outputs, *sizes)


def convolve(
    x: Array, masks: Array | None, weight: Array, bias: Array | None, out: Array, geometry: Geometry, group: int
) -> None:
    """Write ``out``; ``masks`` (N, taps * positions) or None for a convolution without."""
    work = _Work("forward", shape_of(x, out, geometry, group), geometry)
    packed = work.pack(weight, work.shape.channels, work.shape.outputs, 16 if work.tiles.height == 64 else 8)
    made = work.parts(out)
    sizes = (work.shape.channels, work.shape.outputs, group, work.rows(work.shape.outputs))
    arrays = (x, masks, packed, bias if made is out else None, made)
    work.launch(f"forward_{work.tiles.height}", *arrays, len(x), *sizes)
    work.add_parts(made, out, bias)


def convolve_backward(
    x: Array,
    masks: Array | None,
    weight: Array,
    grad_out: Array,
    grad_x: Array | None,
    grad_masks: Array | None,
    geometry: Geometry,
    group: int,
) -> None:
    """Write the gradients of x and of the masks, those that are not None. Of x only the shape counts for the first."""
    kind: Kind = "data" if grad_masks is None else "both"
    work = _Work(kind, shape_of(x, grad_out, geometry, group), geometry)
    channels, outputs = work.shape.channels, work.shape.outputs
    sizes = (len(x), outputs, channels, group, work.rows(channels))
    if grad_masks is None:
        packed = work.pack(weight, outputs, channels, 16 if work.tiles.height == 64 else 8, transposed=True)
        made = work.parts(grad_x)
        work.launch(f"backward_{work.tiles.height}", grad_out, masks, packed, made, *sizes)
    else:
        packed = work.pack(weight, outputs, channels, 16 if x.itemsize == 4 else 8, transposed=True)
        made = None if grad_x is None else work.parts(grad_x)
        mask_parts = _mask_parts(grad_masks, work.tiles.down)
        # The masks' gradient does not depend on the masks.
        factors = None if grad_x is None else masks
        work.launch("backward_both", x, factors, packed, grad_out, made, mask_parts, *sizes)
        work.add_parts(mask_parts, grad_masks, None)
    if grad_x is not None:
        work.add_parts(made, grad_x, None)


def add_weight_grad(
    x: Array, masks: Array | None, grad_out: Array, grad_weight: Array, geometry: Geometry, group: int
) -> None:
    """Add the gradient of the weights."""
    work = _Work("weight", shape_of(x, grad_out, geometry, group), geometry)
    channels, taps = work.shape.channels, work.shape.taps
    parts = xp().empty((work.tiles.parts, grad_weight.size), x.dtype)
    sizes = (len(x), channels, work.shape.outputs, group)
    work.launch(f"weight_{work.tiles.height}", x, masks, grad_out, parts, *sizes)
    count = grad_weight.size
    launch("segaware_conv", "add_weight_parts", count, parts, len(parts), grad_weight, channels, taps, count)


@dataclass(frozen=True)
class _Work:
    """One product of a convolution."""

    kind: Kind
    shape: Shape
    geometry: Geometry

    @property
    def tiles(self) -> Tiles:
        return tiles_of(self.kind, self.shape)

    def rows(self, rows: int) -> int:
        """Rows of a group, padded to whole tiles."""
        return math.ceil(rows / self.tiles.height) * self.tiles.height

    def pack(self, weight: Array, inputs: int, rows: int, depth: int, transposed: bool = False) -> Array:
        """Weights as (group, tap, inputs, rows), padded to slices of ``depth`` inputs and whole tiles."""
        padded, taps = math.ceil(inputs / depth) * depth, self.shape.taps
        packed = xp().empty((self.shape.group, taps, padded, self.rows(rows)), weight.dtype)
        sizes = (transposed, inputs, rows, taps, *packed.shape[2:], packed.size)
        launch("segaware_conv", "pack", packed.size, weight, packed, *sizes)
        return packed

    def parts(self, out: Array) -> Array:
        """Where the kernel writes: ``out``, or one array like it for each part."""
        return out if self.tiles.parts == 1 else xp().empty((self.tiles.parts, *out.shape), out.dtype)

    def launch(self, function: str, *arguments: object) -> None:
        """Run a function over all tiles."""
        grid = (self.tiles.across, self.tiles.down, self.tiles.parts)
        launch_blocks("segaware_conv", function, grid, *arguments, *self.geometry.numbers())

    def add_parts(self, made: Array, out: Array, bias: Array | None) -> None:
        """Add what was written in parts, then the bias."""
        if made is not out:
            sizes = (out.shape[1], math.prod(out.shape[2:]), out.size)
            launch("segaware_conv", "add_parts", out.size, made, len(made), bias, out, *sizes)


def _mask_parts(grad_masks: Array, tiles: int) -> Array:
    """Where each tile of channels writes its part; zero, since no tile comes by where no pixel is read."""
    if tiles == 1:
        grad_masks.fill(0)
        return grad_masks
    return xp().zeros((tiles, *grad_masks.shape), grad_masks.dtype)
