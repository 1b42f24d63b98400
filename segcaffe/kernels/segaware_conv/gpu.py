"""Masked convolution on the GPU: masked columns of a part of the work at a time, and products by cuBLAS.

The columns are never there all at once. The forward pass makes those of a range of positions, the backward passes those
of a range of channels (so that each pixel's gradient is one sum); a part is small enough to stay in the cache of the
larger devices between being written and being multiplied.
"""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from collections.abc import Iterator

from segcaffe.device import cublas
from segcaffe.device.mode import Array, xp
from segcaffe.kernels.channelwise.gpu import reduce_channels
from segcaffe.kernels.im2col.gpu import Geometry
from segcaffe.proto.window import Window

PART_BYTES = 16 << 20
"""Bytes of columns made at a time, where that leaves enough for a product."""
_LEAST_POSITIONS = 1024
_LEAST_ROWS = 64


def forward(
    x: Array, mask: Array, weight: Array, bias: Array | None, out: Array, window: Window, group: int = 1
) -> None:
    geometry = geometry_of(x, out, window)
    masks = mask.reshape(len(mask), -1)
    convolve(x, masks, weight, out, geometry, group)
    if bias is not None:
        out += bias.reshape(-1, *(1,) * (out.ndim - 2))


def backward_data(
    x: Array,
    mask: Array,
    weight: Array,
    grad_out: Array,
    grad_x: Array | None,
    grad_mask: Array | None,
    window: Window,
    group: int = 1,
) -> None:
    geometry = geometry_of(x, grad_out, window)
    masks = mask.reshape(len(mask), -1)
    grad_masks = None if grad_mask is None else grad_mask.reshape(len(mask), -1)
    convolve_backward(x, masks, weight, grad_out, grad_x, grad_masks, geometry, group)


def backward_weight(
    x: Array,
    mask: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    window: Window,
    group: int = 1,
) -> None:
    geometry = geometry_of(x, grad_out, window)
    add_weight_grad(x, mask.reshape(len(mask), -1), grad_out, grad_weight, geometry, group)
    if grad_bias is not None:
        add_bias_grad(grad_out, grad_bias)


def geometry_of(x: Array, out: Array, window: Window) -> Geometry:
    """The window over images like x (N, C, *spatial), at the positions of ``out``."""
    return Geometry.of(x, out.shape[2:], window.kernel, window.stride, window.pad, window.dilation)


def convolve(x: Array, masks: Array | None, weight: Array, out: Array, geometry: Geometry, group: int) -> None:
    """Write ``out``; ``masks`` (N, taps * positions) or None for a convolution without."""
    outputs, positions = out.shape[1], geometry.positions
    matrix = weight.reshape(outputs, -1)
    depth, flat = matrix.shape[1], out.reshape(*out.shape[:2], positions)
    channels, each = x.shape[1] // group, outputs // group
    width = _positions_at_once(depth, positions, x.itemsize)
    columns = xp().empty(depth * width, x.dtype)
    for n, image in enumerate(x):
        for first in range(0, positions, width):
            many = min(width, positions - first)
            part = columns[: depth * many].reshape(depth, many)
            for g in range(group):
                rows, source = slice(g * each, (g + 1) * each), image[g * channels : (g + 1) * channels]
                geometry.gather(source, None if masks is None else masks[n], part, first, many)
                cublas.gemm(matrix[rows], part, flat[n, rows, first : first + many])


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
    outputs, positions, taps = grad_out.shape[1], geometry.positions, geometry.taps
    matrix, flat = weight.reshape(outputs, -1), grad_out.reshape(*grad_out.shape[:2], positions)
    each = outputs // group
    columns = None
    for n in range(len(x)):
        started = False
        for g, first, last in _channel_parts(x, group, geometry):
            rows = (last - first) * taps
            if columns is None:
                columns = xp().empty(rows * positions, x.dtype)
            part = columns[: rows * positions].reshape(rows, positions)
            within = first - g * (x.shape[1] // group)
            chosen = matrix[g * each : (g + 1) * each, within * taps : within * taps + rows]
            cublas.gemm(chosen, flat[n, g * each : (g + 1) * each], part, trans_a=True)
            if grad_x is not None:
                geometry.fold(part, None if masks is None else masks[n], grad_x[n, first:last])
            if grad_masks is not None:
                geometry.mask_grad(part, x[n, first:last], grad_masks[n], accumulate=started)
            started = True


def add_weight_grad(
    x: Array, masks: Array | None, grad_out: Array, grad_weight: Array, geometry: Geometry, group: int
) -> None:
    """Add the gradient of the weights."""
    outputs, positions, taps = grad_out.shape[1], geometry.positions, geometry.taps
    matrix, flat = grad_weight.reshape(outputs, -1), grad_out.reshape(*grad_out.shape[:2], positions)
    each = outputs // group
    columns = None
    for n in range(len(x)):
        for g, first, last in _channel_parts(x, group, geometry):
            rows = (last - first) * taps
            if columns is None:
                columns = xp().empty(rows * positions, x.dtype)
            part = columns[: rows * positions].reshape(rows, positions)
            geometry.gather(x[n, first:last], None if masks is None else masks[n], part)
            within = first - g * (x.shape[1] // group)
            target = matrix[g * each : (g + 1) * each, within * taps : within * taps + rows]
            cublas.gemm(flat[n, g * each : (g + 1) * each], part, target, trans_b=True, beta=1.0)


def add_bias_grad(grad_out: Array, grad_bias: Array) -> None:
    """Add the sums over images and positions."""
    reduce_channels(0, grad_out.reshape(*grad_out.shape[:2], -1), None, grad_bias, accumulate=True)


def _positions_at_once(depth: int, positions: int, itemsize: int) -> int:
    """How many positions' columns to make: as many as fit in a part, in parts of about one size."""
    most = max(_LEAST_POSITIONS, PART_BYTES // (depth * itemsize))
    parts = -(-positions // most)
    return max(1, -(-positions // max(parts, 1)))


def _channel_parts(x: Array, group: int, geometry: Geometry) -> Iterator[tuple[int, int, int]]:
    """Group, first and last channel of each part, in order; the first part is the largest."""
    channels = x.shape[1] // group
    per_channel = geometry.taps * geometry.positions * x.itemsize
    step = min(channels, max(PART_BYTES // max(per_channel, 1), -(-_LEAST_ROWS // geometry.taps)))
    for g in range(group):
        for first in range(g * channels, (g + 1) * channels, step):
            yield g, first, min(first + step, (g + 1) * channels)
