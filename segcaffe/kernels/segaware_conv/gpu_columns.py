"""Masked convolution on the GPU by columns that are written a part at a time, and products by cuBLAS.

A part is small enough to stay in the cache of the larger devices between being written and being multiplied: several
whole images where they are small, else a range of positions (forward) or of channels (backward, so that each pixel's
gradient is one sum) of one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segcaffe.device import cublas
from segcaffe.device.mode import Array, xp
from segcaffe.kernels.im2col.gpu import Geometry
from segcaffe.kernels.segaware_conv import gpu_choice

_LEAST_POSITIONS = 1024
_LEAST_ROWS = 64


def convolve(
    x: Array, masks: Array | None, weight: Array, bias: Array | None, out: Array, geometry: Geometry, group: int
) -> None:
    """Write ``out``; ``masks`` (N, taps * positions) or None for a convolution without."""
    depth, positions = x.shape[1] * geometry.taps, geometry.positions
    matrices = weight.reshape(group, out.shape[1] // group, -1)
    flat = out.reshape(len(out), group, -1, positions)
    images = max(1, _images_at_once(x, geometry))
    width = positions if images > 1 else _positions_at_once(depth, positions, x.itemsize)
    columns = xp().empty(min(images, len(x)) * depth * width, x.dtype)
    for n in range(0, len(x), images):
        some = slice(n, min(n + images, len(x)))
        many, chosen = some.stop - n, None if masks is None else masks[some]
        for first in range(0, positions, width):
            wide = min(width, positions - first)
            part = columns[: many * depth * wide].reshape(many, group, -1, wide)
            geometry.gather(x[some], chosen, part.reshape(many, depth, wide), first, wide)
            multiply_groups(matrices, part, flat[some, :, :, first : first + wide])
    if bias is not None:
        out += bias.reshape(-1, *(1,) * (out.ndim - 2))


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
    matrices = weight.reshape(group, grad_out.shape[1] // group, -1)
    flat = grad_out.reshape(len(x), group, -1, geometry.positions)
    for part, columns in _parts(x, group, geometry):
        images, groups, channels = part.images, part.groups, part.channels
        multiply_groups(matrices[groups, :, part.rows], flat[images, groups], columns, transposed=True)
        stacked = columns.reshape(len(columns), -1, geometry.positions)
        if grad_x is not None:
            geometry.fold(stacked, None if masks is None else masks[images], grad_x[images, channels])
        if grad_masks is not None:
            geometry.mask_grad(stacked, x[images, channels], grad_masks[images], accumulate=channels.start > 0)


def add_weight_grad(
    x: Array, masks: Array | None, grad_out: Array, grad_weight: Array, geometry: Geometry, group: int
) -> None:
    """Add the gradient of the weights."""
    matrices = grad_weight.reshape(group, grad_out.shape[1] // group, -1)
    flat = grad_out.reshape(len(x), group, -1, geometry.positions)
    for part, columns in _parts(x, group, geometry):
        stacked = columns.reshape(len(columns), -1, geometry.positions)
        geometry.gather(x[part.images, part.channels], None if masks is None else masks[part.images], stacked)
        # All images add to the same weights: one after the other.
        targets = matrices[part.groups, :, part.rows]
        for grads, made in zip(flat[part.images, part.groups], columns, strict=True):
            cublas.gemm_batched(grads, made, targets, trans_b=True, beta=1.0)


@dataclass(frozen=True)
class _Part:
    """A part of the columns: whole images, or channels of a group of one image, and their rows of the group's."""

    images: slice
    groups: slice
    channels: slice
    rows: slice


def _parts(x: Array, group: int, geometry: Geometry) -> Iterator[tuple[_Part, Array]]:
    """Parts in order and memory for their columns (images, groups, rows, positions); the first part is the largest."""
    taps, positions = geometry.taps, geometry.positions
    columns = None
    for part in _divisions(x, group, geometry):
        images, groups = part.images.stop - part.images.start, part.groups.stop - part.groups.start
        rows = (part.channels.stop - part.channels.start) // groups * taps
        size = images * groups * rows * positions
        columns = xp().empty(size, x.dtype) if columns is None else columns
        yield part, columns[:size].reshape(images, groups, rows, positions)


def _divisions(x: Array, group: int, geometry: Geometry) -> Iterator[_Part]:
    num, all_channels = x.shape[:2]
    channels, taps = all_channels // group, geometry.taps
    images = _images_at_once(x, geometry)
    if images > 0:
        for n in range(0, num, images):
            yield _Part(
                slice(n, min(n + images, num)), slice(0, group), slice(0, all_channels), slice(0, channels * taps)
            )
        return
    per_channel = taps * geometry.positions * x.itemsize
    step = min(channels, max(gpu_choice.PART_BYTES // max(per_channel, 1), -(-_LEAST_ROWS // taps)))
    for n in range(num):
        for first in range(0, all_channels, channels):
            for c in range(0, channels, step):
                last, g = min(c + step, channels), first // channels
                chosen, rows = slice(first + c, first + last), slice(c * taps, last * taps)
                yield _Part(slice(n, n + 1), slice(g, g + 1), chosen, rows)


def multiply_groups(matrices: Array, factors: Array, out: Array, transposed: bool = False) -> None:
    """``out[n, g] = matrices[g] @ factors[n, g]``: a call for each image or each group, whichever are fewer."""
    if len(out) < len(matrices):
        for factor, target in zip(factors, out, strict=True):
            cublas.gemm_batched(matrices, factor, target, trans_a=transposed)
        return
    for g in range(len(matrices)):
        cublas.gemm_batched(matrices[g : g + 1], factors[:, g], out[:, g], trans_a=transposed)


def _images_at_once(x: Array, geometry: Geometry) -> int:
    """How many images' columns fit in a part; 0 if not even one's."""
    return int(gpu_choice.PART_BYTES // max(x.shape[1] * geometry.taps * geometry.positions * x.itemsize, 1))


def _positions_at_once(depth: int, positions: int, itemsize: int) -> int:
    """How many positions' columns to make: as many as fit in a part, in parts of about one size."""
    most = max(_LEAST_POSITIONS, gpu_choice.PART_BYTES // (depth * itemsize))
    parts = -(-positions // most)
    return max(1, -(-positions // max(parts, 1)))
