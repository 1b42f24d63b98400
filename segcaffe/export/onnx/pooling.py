"""Pooling: explicit padding and sizes rounded down say what Caffe's own rules for sizes and means come to."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.kernels.pooling import EMPTY
from segcaffe.layers.window.pooling import Pooling
from segcaffe.layers.window.spatial_pyramid_pooling import SpatialPyramidPooling
from segcaffe.layers.window.spp import SPP
from segcaffe.proto.caffe_pb2 import PoolingParameter
from segcaffe.window import Window

_LEAST_NORMAL = float(np.finfo(np.float32).tiny)


class Sizes(NamedTuple):
    """A window over an image of size ``spatial`` that makes ``out`` windows."""

    window: Window
    spatial: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def pads(self) -> list[tuple[int, int]]:
        """Padding in front of each axis, and so much behind it that the last window is whole."""
        w = self.window
        return [
            (p, max(0, (o - 1) * s + e - n - p))
            for p, o, s, e, n in zip(w.pad, self.out, w.stride, w.extent, self.spatial, strict=True)
        ]

    @property
    def is_whole(self) -> bool:
        """Whether there is one window, and it is the image."""
        return self.window.kernel == self.spatial and set(self.out) == {1} and not any(map(any, self.window.paddings))

    def attributes(self, dilated: bool = True) -> dict[str, Any]:
        """The operators' attributes but padding."""
        found = {"kernel_shape": list(self.window.kernel), "strides": list(self.window.stride)}
        if dilated and set(self.window.dilation) != {1}:
            found["dilations"] = list(self.window.dilation)
        return found


@maps("Pooling", "PoolingSK")
def pooling(layer: Pooling, emit: Emitter) -> list[str]:
    """MaxPool, AveragePool, or what is expected of stochastic pooling."""
    sizes = Sizes(layer.window, emit.shape()[2:], emit.top_shape()[2:])
    return pool(layer, emit, emit.input, sizes, places=len(emit.top) == 2)


def pool(layer: Pooling, emit: Emitter, value: str, sizes: Sizes, places: bool = False) -> list[str]:
    """The operators of a pooling layer on an image; with ``places`` the maxima's too."""
    if layer.method == PoolingParameter.MAX:
        return maxima(emit, value, sizes, places)
    if layer.method == PoolingParameter.AVE:
        return [means(emit, value, sizes, layer.pixels_only)]
    padded = emit.pad(value, [(0, 0), (0, 0), *sizes.pads])
    total = emit.node("AveragePool", padded, **sizes.attributes())
    squares = str(emit.node("AveragePool", emit.mul(padded, padded), **sizes.attributes()))
    return [emit.div(squares, emit.plus(total, _LEAST_NORMAL))]


def maxima(emit: Emitter, value: str, sizes: Sizes, places: bool) -> list[str]:
    """MaxPool; padding of a whole kernel, which runtimes refuse, is written out.

    Places count in a plane, where the operator counts over the whole tensor; -1 is that of no pixel.
    """
    if sizes.is_whole and not places:
        return [str(emit.node("GlobalMaxPool", value))]
    pads, image = sizes.pads, sizes.spatial
    attributes = sizes.attributes()
    written = any(max(pair) >= k for pair, k in zip(pads, sizes.window.kernel, strict=True))
    if written:
        value = emit.pad(value, [(0, 0), (0, 0), *pads], EMPTY)
        image = tuple(n + sum(pair) for n, pair in zip(image, pads, strict=True))
    elif any(map(any, pads)):
        attributes["pads"] = [front for front, _ in pads] + [behind for _, behind in pads]
    if not places:
        return [str(emit.node("MaxPool", value, **attributes))]
    top, indices = emit.node("MaxPool", value, outputs=2, **attributes)
    place = str(emit.node("Mod", indices, emit.ints(math.prod(image), "plane")))
    if written:
        place = _without_padding(emit, place, image[1], sizes)
    empty = _is_empty(sizes)
    if empty.any():
        place = emit.where(emit.constant(empty, "empty"), emit.ints(-1, "nowhere"), place)
    return [top, emit.cast(place, np.float32)]


def _without_padding(emit: Emitter, place: str, width: int, sizes: Sizes) -> str:
    """Places y·W + x in an image from those in the padded one, which is ``width`` wide."""
    row = emit.sub(emit.div(place, emit.ints(width, "width")), emit.ints(sizes.pads[0][0], "above"))
    column = emit.sub(str(emit.node("Mod", place, emit.ints(width, "width"))), emit.ints(sizes.pads[1][0], "left"))
    return emit.add(emit.mul(row, emit.ints(sizes.spatial[1], "own_width")), column)


def _is_empty(sizes: Sizes) -> Array:
    """Which windows hold no pixel, as a map (1, 1, spatial)."""
    inside = [_counts(sizes, axis, pixels_only=True) == 0 for axis in range(len(sizes.out))]
    found: Array = inside[0]
    for flags in inside[1:]:
        found = found[..., None] | flags
    return np.asarray(found[None, None])


def means(emit: Emitter, value: str, sizes: Sizes, pixels_only: bool) -> str:
    """AveragePool of the padded image, times a map where the divisor is not the kernel's size."""
    if sizes.is_whole:
        return str(emit.node("GlobalAveragePool", value))
    factors = np.ones(())
    for axis, kernel in enumerate(sizes.window.kernel):
        counts, pixels = (_counts(sizes, axis, only) for only in (pixels_only, True))
        factors = factors[..., None] * np.where(pixels > 0, kernel / np.maximum(counts, 1), 0)
    value = emit.pad(value, [(0, 0), (0, 0), *sizes.pads])
    value = _sums(emit, value, sizes) if set(sizes.window.dilation) != {1} else _plain_means(emit, value, sizes)
    return value if (factors == 1).all() else emit.mul(value, emit.constant(factors[None, None], "factors"))


def _plain_means(emit: Emitter, value: str, sizes: Sizes) -> str:
    return str(emit.node("AveragePool", value, **sizes.attributes()))


def _sums(emit: Emitter, value: str, sizes: Sizes) -> str:
    """Means of windows with holes, which older opsets' AveragePool has not: a convolution of each channel."""
    channels, kernel = emit.shape()[1], sizes.window.kernel
    weight = emit.constant(np.full((channels, 1, *kernel), 1 / np.prod(kernel), np.float32), "mean")
    return str(emit.node("Conv", value, weight, group=channels, **sizes.attributes()))


def _counts(sizes: Sizes, axis: int, pixels_only: bool) -> Array:
    """How many taps of each window count along an axis: pixels of the image, or padding too, but not beyond that."""
    w, size = sizes.window, sizes.spatial[axis]
    starts = np.arange(sizes.out[axis]) * w.stride[axis] - w.pad[axis]
    taps = starts[:, None] + np.arange(w.kernel[axis]) * w.dilation[axis]
    end = size if pixels_only else size + w.paddings[axis][1]
    low = 0 if pixels_only else -w.pad[axis]
    counted: Array = ((taps >= low) & (taps < end)).sum(1)
    return counted


@maps("SPP")
def spp(layer: SPP, emit: Emitter) -> str:
    """Each level pooled and flattened, joined along the channels."""
    levels = []
    for inner in layer.poolings:
        out = tuple(inner.output_size(emit.shape()[2:]))
        levels.append(pool(inner, emit, emit.input, Sizes(inner.window, emit.shape()[2:], out))[0])
    if len(levels) == 1:
        return levels[0]
    return emit.concat([str(emit.node("Flatten", level, axis=1)) for level in levels], 1)


@maps("SpatialPyramidPooling")
def spatial_pyramid_pooling(layer: SpatialPyramidPooling, emit: Emitter) -> str:
    """The largest value of each cell, cell by cell."""
    grids = []
    for bins, cells in zip(layer.bins, layer.cells, strict=True):
        found = [_largest_of(emit, rows, columns) for _, _, rows, columns in cells]
        joined = emit.concat([emit.unsqueeze(value, [2]) for value in found], 2)
        shape = (emit.shape()[1], bins, bins) if len(layer.bins) == 1 else (emit.shape()[1] * bins * bins,)
        grids.append(emit.reshape(joined, [0, *shape]))
    return emit.concat(grids, 1)


def _largest_of(emit: Emitter, rows: slice, columns: slice) -> str:
    part = emit.slice(emit.input, [rows.start, columns.start], [rows.stop, columns.stop], [2, 3])
    return emit.reduce("ReduceMax", part, [2, 3], keepdims=False)
