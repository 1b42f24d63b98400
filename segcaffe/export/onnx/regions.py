"""Layers that propose regions, and that pool over them."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.detection.anchors import Proposing, all_anchors
from segcaffe.export.onnx import boxes as found
from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.detection.proposal import Proposal
from segcaffe.layers.detection.psroi_pooling import PSROIPooling
from segcaffe.layers.detection.roi_align import ROIAlign
from segcaffe.layers.detection.roi_pooling import ROIPooling

_LARGEST_GROWTH = 60.0
"""Logarithms of sizes are cut there, as in `segcaffe.detection.anchors.shift`."""


@maps("Proposal")
def proposal(layer: Proposal, emit: Emitter) -> list[str]:
    """Anchors are constants; the best boxes pass NonMaxSuppression."""
    emit.static(1, 2, 3)
    height, width = emit.shape()[2:]
    anchors = all_anchors(layer.anchors, layer.stride, height, width).astype(np.float32)
    rows, scores = proposed(emit, anchors, layer.proposing)
    return [rows, emit.unsqueeze(scores, [1])][: len(emit.top)]


def proposed(emit: Emitter, anchors: Array, wanted: Proposing) -> tuple[str, str]:
    """Regions (R, 5) and their scores (R,) of probabilities, deltas and images' sizes, the three bottoms."""
    count, channels = len(anchors), emit.shape()[1]
    scores = emit.slice(emit.input, [channels // 2], [channels], [1])
    scores = emit.reshape(emit.transpose(scores, (0, 2, 3, 1)), [-1, count])
    deltas = emit.reshape(emit.transpose(emit.inputs[1], (0, 2, 3, 1)), [-1, count, 4])
    height, width, scale = _images(emit)
    limit = emit.plus(emit.concat([width, height, width, height], 2), -1)
    boxes = _shifted(emit, anchors, deltas)
    boxes = emit.node("Max", emit.node("Min", boxes, limit), emit.number(0, "begin"))
    low, high = emit.split(boxes, 2, [2, 2])
    sides = emit.reduce("ReduceMin", emit.plus(emit.sub(high, low), 1), [2])
    small = emit.squeeze(emit.node("Less", sides, emit.times(scale, wanted.smallest)), [2])
    scores = emit.where(small, emit.number(found.LOWEST, "lowest"), scores)
    before = min(wanted.before, count) if wanted.before > 0 else count
    boxes, scores = found.best(emit, boxes, scores, before)
    # As wide as pixels count, for suppression knows no borders.
    wide = emit.add(boxes, emit.constant([0.0, 0.0, 1.0, 1.0], "border"))
    scores = emit.unsqueeze(scores, [1])
    kept = found.suppress(emit, wide, scores, wanted.after if wanted.after > 0 else before, wanted.overlap)
    regions = found.at(emit, boxes, kept.item, kept.place)
    return emit.concat([emit.cast(kept.item, np.float32), regions], 1), emit.node("GatherND", scores, kept.all)


def _images(emit: Emitter) -> list[str]:
    """Height, width and scale of each image, (N, 1, 1) each."""
    numbers = math.prod(emit.shape(2)[1:])
    images = emit.reshape(emit.inputs[2], [-1, 1, numbers])
    return emit.split(emit.slice(images, [0], [3], [2]), 2, [1, 1, 1])


def _shifted(emit: Emitter, anchors: Array, deltas: str) -> str:
    """See `segcaffe.detection.anchors.shift`."""
    size = anchors[:, 2:] - anchors[:, :2] + np.float32(1)
    shift, growth = emit.split(deltas, 2, [2, 2])
    middle = emit.constant(anchors[:, :2] + size / 2, "centres")
    centers = emit.add(middle, emit.mul(shift, emit.constant(size, "sizes")))
    growth = emit.node("Exp", emit.node("Min", growth, emit.number(_LARGEST_GROWTH, "largest")))
    return found.corners(emit, centers, emit.mul(growth, emit.constant(size / 2, "halves")), 2)


@maps("ROIPooling")
def roi_pooling(layer: ROIPooling, emit: Emitter) -> str:
    """MaxRoiPool is this layer."""
    regions = emit.reshape(emit.inputs[1], [-1, 5])
    return str(
        emit.node("MaxRoiPool", emit.input, regions, pooled_shape=list(layer.pooled), spatial_scale=float(layer.scale))
    )


@maps("ROIAlign")
def roi_align(layer: ROIAlign, emit: Emitter) -> str:
    """RoiAlign without the half pixel that later networks take off, which its first version did not know."""
    item, corners = emit.split(emit.reshape(emit.inputs[1], [-1, 5]), 1, [1, 4])
    pooled = emit.node(
        "RoiAlign",
        emit.input,
        corners,
        emit.cast(emit.squeeze(item, [1]), np.int64),
        output_height=layer.pooled[0],
        output_width=layer.pooled[1],
        sampling_ratio=max(0, layer.samples),
        spatial_scale=float(layer.scale),
        coordinate_transformation_mode="output_half_pixel" if emit.opset >= 16 else None,
    )
    if not layer.sensitive:
        return str(pooled)
    # Of all bins of all maps those that belong together.
    bins = layer.pooled[0] * layer.pooled[1]
    own = emit.mul(emit.reshape(pooled, [-1, emit.shape()[1] // bins, bins, bins]), emit.constant(np.eye(bins), "own"))
    return emit.reshape(
        emit.reduce("ReduceSum", own, [2], keepdims=False), [-1, emit.shape()[1] // bins, *layer.pooled]
    )


@maps("PSROIPooling")
def psroi_pooling(layer: PSROIPooling, emit: Emitter) -> str:
    """Sums over the columns, then over the rows, that each bin of each region holds, over the number of its pixels.

    Which those are is written as 0 and 1: for columns (R, Q, W), for rows (R, P, N, H), of the region's item alone.
    """
    emit.static(1, 2, 3)
    height, width = emit.shape()[2:]
    bins, items = layer.pooled[0], found.length(emit, emit.input)
    item, corners = emit.split(emit.reshape(emit.inputs[1], [-1, 5]), 1, [1, 4])
    columns, rows = _bins(emit, corners, layer)
    across, down = (emit.reduce("ReduceSum", held, [2]) for held in (columns, rows))
    area = emit.mul(down, emit.transpose(across, (0, 2, 1)))
    own = emit.node("Equal", emit.cast(item, np.int64), found.numbers(emit, items))
    own = emit.unsqueeze(emit.cast(own, np.float32), [1, 3])
    rows = emit.mul(own, emit.unsqueeze(rows, [2]))

    maps_ = emit.reshape(emit.input, [-1, layer.outputs, bins, bins, height, width])
    maps_ = emit.reshape(emit.transpose(maps_, (3, 1, 2, 0, 4, 5)), [bins, -1, width])
    sums = emit.node("MatMul", maps_, emit.transpose(columns, (1, 2, 0)))
    extents = [emit.ints([bins, layer.outputs, bins], "shape"), items, emit.ints([height], "height")]
    shape = emit.concat([*extents, found.length(emit, item)], 0)
    sums = emit.mul(emit.node("Reshape", sums, shape), emit.transpose(rows, (1, 2, 3, 0)))
    sums = emit.transpose(emit.reduce("ReduceSum", sums, [3, 4], keepdims=False), (3, 1, 2, 0))
    return emit.div(sums, emit.unsqueeze(emit.node("Max", area, emit.number(1, "least")), [1]))


def _bins(emit: Emitter, corners: str, layer: PSROIPooling) -> list[str]:
    """Which columns (R, Q, W), and which rows (R, P, H), each bin holds, as 0 and 1."""
    bins, extents = layer.pooled[0], emit.shape()[:1:-1]
    low, high = emit.split(_rounded(emit, corners), 1, [2, 2])
    start, end = emit.times(low, layer.scale), emit.times(emit.plus(high, 1), layer.scale)
    size = emit.div(emit.node("Max", emit.sub(end, start), emit.number(0.1, "smallest")), emit.number(bins, "bins"))
    sides = zip(*(emit.split(emit.unsqueeze(both, [2]), 1, [1, 1]) for both in (start, size)), extents, strict=True)
    number = np.arange(bins, dtype=np.float32)[None, :, None]
    held = []
    for first, side, extent in sides:
        begin = emit.node("Floor", emit.add(emit.mul(emit.constant(number, "bin"), side), first))
        end = emit.node("Ceil", emit.add(emit.mul(emit.constant(number + 1, "next"), side), first))
        pixels = emit.constant(np.arange(extent, dtype=np.float32), "pixels")
        inside = emit.node("And", emit.node("Not", emit.node("Less", pixels, begin)), emit.node("Less", pixels, end))
        held.append(emit.cast(inside, np.float32))
    return held


def _rounded(emit: Emitter, x: str) -> str:
    """To the nearest whole number, halves away from 0; Round takes halves to the even one."""
    return emit.mul(emit.node("Sign", x), emit.node("Floor", emit.plus(emit.node("Abs", x), 0.5)))
