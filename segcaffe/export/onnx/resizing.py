"""Layers that make images larger, smaller, or cut parts out of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.operators import INT64_MAX
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.window.affinity import Affinity
from segcaffe.layers.window.crop import Crop
from segcaffe.layers.window.interp import Interp
from segcaffe.layers.window.merge_crop import MergeCrop
from segcaffe.layers.window.nearest import Picked, Repeated
from segcaffe.layers.window.padded import Padded
from segcaffe.layers.window.resize_bilinear import ResizeBilinear
from segcaffe.layers.window.upsample import Upsample


@maps("Crop")
def crop(layer: Crop, emit: Emitter) -> str:
    """Slice by offsets that are known."""
    parts = [(axis, part) for axis, part in enumerate(layer.part) if part != slice(None)]
    parts = [(axis, part) for axis, part in parts if (part.start, part.stop) != (0, emit.shape()[axis])]
    for axis, _ in parts:
        emit.static(axis)
    if not parts:
        return emit.input
    axes = [axis for axis, _ in parts]
    return emit.slice(emit.input, [part.start for _, part in parts], [part.stop for _, part in parts], axes)


@maps("Pad", "Padding", "SimpleCrop")
def padded(layer: Padded, emit: Emitter) -> str:
    """Slice of what is cut off, Pad of what is added."""
    margins = list(layer.margins(emit.shape()))
    cuts = [axis for axis, pair in enumerate(margins) if min(pair) < 0]
    value = emit.input
    if cuts:
        starts = [max(0, -margins[axis][0]) for axis in cuts]
        behind = [max(0, -margins[axis][1]) for axis in cuts]
        value = emit.slice(value, starts, [-cut if cut else INT64_MAX for cut in behind], cuts)
    return emit.pad(value, [(max(0, front), max(0, behind)) for front, behind in margins], layer.value)


@maps("MergeCrop", "Mergecrop")
def merge_crop(layer: MergeCrop, emit: Emitter) -> str:
    """The middle of the second bottom, joined or added to the first; zeros for one that is not used."""
    values = []
    for index, (value, part, used) in enumerate(zip(emit.inputs, layer.parts, layer.uses, strict=True)):
        spatial = list(part[2:])
        if spatial:
            axes = list(range(2, 2 + len(spatial)))
            value = emit.slice(value, [cut.start for cut in spatial], [cut.stop for cut in spatial], axes)
        values.append(value if used else emit.mul(value, emit.number(0.0, f"unused_{index}")))
    return emit.add(*values) if layer.adds else emit.concat(values, 1)


@maps("Interp")
def interp(layer: Interp, emit: Emitter) -> str:
    """Resize with aligned corners of what is left after cropping; a single row or column by Gather and Expand."""
    value, (begin, end) = emit.input, layer.crop
    if begin or end:
        value = emit.slice(value, [begin, begin], [-end if end else INT64_MAX] * 2, [2, 3])
    sizes, out = [size - begin - end for size in emit.shape()[2:]], emit.top_shape()[2:]
    if tuple(sizes) == out:
        return value
    if 1 not in (*sizes, *out):
        return _resize(emit, value, out, mode="linear", coordinate_transformation_mode="align_corners")
    for axis, name in ((2, "rows"), (3, "columns")):
        value = _along(emit, value, axis, (sizes[axis - 2], out[axis - 2]), name)
    return value


def _along(emit: Emitter, value: str, axis: int, sizes: tuple[int, int], name: str) -> str:
    """One axis brought from a size to another: aligned corners of one pixel would divide 0 by 0 in some runtimes."""
    size, out = sizes
    if size == out:
        return value
    if size == 1:
        return emit.expand(value, [out if axis == at else 1 for at in range(4)])
    places = np.arange(out) * ((size - 1) / max(out - 1, 1))
    low = places.astype(np.int64)
    return _mixed(emit, value, (low, places - low), size, axis, name)


def _resize(emit: Emitter, value: str, out: tuple[int, ...], **attributes: Any) -> str:
    """Resize to a size; where the batch is symbolic, that comes from the shape."""
    if not emit.grows[0]:
        sizes = emit.ints([*emit.top_shape()[:2], *out], "sizes")
        return str(emit.node("Resize", value, *_unread(emit), sizes, **attributes))
    if emit.opset >= 18:
        return str(emit.node("Resize", value, "", "", emit.ints(out, "sizes"), axes=[2, 3], **attributes))
    whole = str(emit.node("Shape", value))
    sizes = emit.concat([emit.slice(whole, [0], [2], [0]), emit.ints(out, "sizes")], 0)
    return str(emit.node("Resize", value, *_unread(emit), sizes, **attributes))


def _unread(emit: Emitter) -> list[str]:
    """The inputs ``roi`` and ``scales``: opset 11 wants both, though it reads neither."""
    return ["", ""] if emit.opset >= 13 else [emit.constant(np.zeros(0, np.float32), "unread")] * 2


@maps("UpsampleDarknet")
def repeated(layer: Repeated, emit: Emitter) -> str:
    """Each pixel repeated along an axis of its own."""
    if layer.factors == (1, 1):
        return emit.input
    down, across = layer.factors
    *before, height, width = emit.sizes()
    apart = emit.reshape(emit.input, [*before, height, 1, width, 1])
    return emit.as_top(emit.expand(apart, [1] * len(before) + [1, down, 1, across]))


@maps("Upsample")
def upsample(layer: Upsample, emit: Emitter) -> str:
    """Repeated pixels, or values put where max pooling found them."""
    return _unpool(layer, emit) if layer.unpools else repeated(layer, emit)


def _unpool(layer: Upsample, emit: Emitter) -> str:
    """ScatterElements along the pixels of each plane; a place of -1, of no pixel, falls on one that is cut off."""
    channels, pixels = emit.shape()[1], math.prod(emit.top_shape()[2:])
    values, places = (emit.reshape(value, [0, channels, -1]) for value in emit.inputs)
    if emit.grows[0]:
        planes = emit.slice(str(emit.node("Shape", values)), [0], [2], [0])
        shape = emit.concat([planes, emit.ints([pixels + 1], "pixels")], 0)
    else:
        shape = emit.ints([*emit.shape()[:2], pixels + 1], "pixels")
    empty = str(emit.node("Expand", emit.number(0.0, "zero"), shape))
    scattered = str(emit.node("ScatterElements", empty, emit.cast(places, np.int64), values, axis=2))
    return emit.as_top(emit.slice(scattered, [0], [pixels], [2]))


@maps("ResizeNearestNeighbor")
def picked(layer: Picked, emit: Emitter) -> str:
    """Gather of rows, then of columns, by tables: runtimes differ in how they round."""
    value = emit.input
    for axis, table, name in zip(layer.spatial(), layer.tables(emit.shape()), ("rows", "columns"), strict=True):
        value = str(emit.node("Gather", value, emit.constant(np.asarray(table, np.int64), name), axis=axis))
    return value


@maps("ResizeBilinear")
def resize_bilinear(layer: ResizeBilinear, emit: Emitter) -> str:
    """Two Gathers for each axis and their mixture, by tables: no mode of Resize rounds as the layer does."""
    first = 1 if layer.channels_last else 2
    value = emit.input
    for axis, name in ((first, "rows"), (first + 1, "columns")):
        low, weight = layer.places(emit.shape()[axis], emit.top_shape()[axis])
        value = _mixed(emit, value, (low, weight), emit.shape()[axis], axis, name)
    return value


def _mixed(emit: Emitter, value: str, table: tuple[Array, Array], size: int, axis: int, name: str) -> str:
    """Along an axis of a size the element at each place of the table and the next one, mixed by its weight."""
    low, weight = table
    behind = (1,) * (emit.ndim() - axis - 1)
    parts = [
        str(emit.node("Gather", value, emit.constant(places.astype(np.int64), f"{name}_{kind}"), axis=axis))
        for kind, places in (("low", low), ("high", np.minimum(low + 1, size - 1)))
    ]
    if not weight.any():
        return parts[0]
    factors = emit.constant(weight.reshape(-1, *behind).astype(np.float32), f"{name}_weight")
    return emit.add(parts[0], emit.mul(emit.sub(parts[1], parts[0]), factors))


@maps("Affinity")
def affinity(layer: Affinity, emit: Emitter) -> list[str]:
    """The smaller of neighbours below and to the right, with zeros in the last row and column."""
    tops = []
    for value, offset in zip(emit.inputs, layer.offsets, strict=True):
        plane = emit.slice(value, [offset], [offset + 1], [1])
        here = emit.slice(plane, [0, 0], [-1, -1], [2, 3])
        below = emit.slice(plane, [1, 0], [INT64_MAX, -1], [2, 3])
        right = emit.slice(plane, [0, 1], [-1, INT64_MAX], [2, 3])
        smaller = [str(emit.node("Min", here, other)) for other in (below, right)]
        tops.append(emit.pad(emit.concat(smaller, 1), [(0, 0), (0, 0), (0, 1), (0, 1)]))
    return tops
