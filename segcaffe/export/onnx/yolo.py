"""YOLO: from grids to boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.detection.grid import COORDS
from segcaffe.export.onnx import boxes as found
from segcaffe.export.onnx.emitter import Array, Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.detection.grids import GridLayer
from segcaffe.layers.detection.yolo_detection_output import YoloDetectionOutput
from segcaffe.layers.detection.yolov3_detection_output import Yolov3DetectionOutput


@maps("YoloDetectionOutput")
def yolo(layer: YoloDetectionOutput, emit: Emitter) -> str:
    """Of each box the best class."""
    boxes, scores, labels = [], [], []
    for index in range(len(emit.inputs)):
        raw = _grid(layer, emit, index)
        cells = len(layer.sizes) * int(np.prod(emit.shape(index)[2:]))
        own, objectness = _decoded(emit, raw, layer.sizes, emit.shape(index)[2:])
        chances = emit.softmax(_classes(layer, emit, raw), 2, 5)
        score = emit.mul(objectness, emit.reduce("ReduceMax", chances, [2]))
        boxes.append(own)
        scores.append(emit.reshape(score, [-1, cells]))
        labels.append(emit.reshape(emit.node("ArgMax", chances, axis=2), [-1, cells]))
    together, every = emit.unsqueeze(emit.concat(scores, 1), [1]), emit.concat(boxes, 1)
    # Here those count that reach it, to the operator those that exceed it.
    least = float(np.nextafter(np.float32(layer.least), np.float32(-np.inf))) if layer.least > 0 else -np.inf
    kept = found.suppress(emit, every, together, _cells(layer, emit), layer.suppression.overlap, least)
    kept, real = found.or_none(emit, kept)
    label = found.at(emit, emit.concat(labels, 1), kept.item, kept.place)
    return _rows(emit, (every, together), (kept, real), emit.unsqueeze(label, [1]))


@maps("Yolov3DetectionOutput")
def yolov3(layer: Yolov3DetectionOutput, emit: Emitter) -> str:
    """Each box once for each class, all of them together."""
    boxes, scores, cells = [], [], _cells(layer, emit)
    for index, sizes in enumerate(layer.priors):
        raw = _grid(layer, emit, index)
        own, objectness = _decoded(emit, raw, sizes, emit.shape(index)[2:])
        chances = emit.mul(objectness, emit.node("Sigmoid", _classes(layer, emit, raw)))
        places = len(sizes) * int(np.prod(emit.shape(index)[2:]))
        boxes.append(own)
        scores.append(emit.reshape(emit.transpose(chances, (0, 2, 1, 3, 4)), [-1, layer.classes, places]))
    count = layer.classes * cells
    every = emit.node("Tile", emit.concat(boxes, 1), emit.ints([1, layer.classes, 1], "repeats"))
    together = emit.reshape(emit.concat(scores, 2), [-1, 1, count])
    kept = found.suppress(emit, every, together, count, layer.suppression.overlap, layer.least)
    kept, real = found.or_none(emit, kept)
    return _rows(emit, (every, together), (kept, real), emit.div(kept.place, emit.ints([cells], "cells")))


def _rows(emit: Emitter, given: tuple[str, str], found_: tuple[found.Kept, str], label: str) -> str:
    """Detections of boxes (N, P, 4) and scores (N, 1, P), those kept, whose labels (K, 1) count from 0."""
    (boxes, scores), (kept, real) = given, found_
    label = emit.plus(emit.cast(label, np.float32), 1)
    own = found.at(emit, boxes, kept.item, kept.place)
    rows = found.rows_of(emit, kept.item, label, emit.node("GatherND", scores, kept.all), own)
    return found.detections(emit, rows, real)


def _cells(layer: GridLayer, emit: Emitter) -> int:
    """How many boxes all grids of an item have."""
    return sum(len(layer.sizes) * int(np.prod(blob.shape[2:])) for blob in emit.bottom)


def _grid(layer: GridLayer, emit: Emitter, index: int) -> str:
    """A bottom as (N, B, 5 + C, H, W)."""
    emit.static(1, 2, 3, index=index)
    return emit.reshape(emit.inputs[index], [-1, len(layer.sizes), COORDS + 1 + layer.classes, *emit.shape(index)[2:]])


def _classes(layer: GridLayer, emit: Emitter, raw: str) -> str:
    """The classes' numbers of a grid."""
    return emit.slice(raw, [COORDS + 1], [COORDS + 1 + layer.classes], [2])


def _decoded(emit: Emitter, raw: str, sizes: Array, cells: Sequence[int]) -> tuple[str, str]:
    """Boxes (N, B H W, 4) and objectness (N, B, 1, H, W); see `segcaffe.detection.grid.decode`."""
    height, width = cells
    move, growth, objectness = emit.split(emit.slice(raw, [0], [COORDS + 1], [2]), 2, [2, 2, 1])
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    size = np.array([width, height], np.float32).reshape(1, 1, 2, 1, 1)
    centers = emit.add(emit.node("Sigmoid", move), emit.constant(places[None, None], "cells"))
    centers = emit.div(centers, emit.constant(size, "grid"))
    halves = (sizes / (2 * width, 2 * height)).astype(np.float32).reshape(1, -1, 2, 1, 1)
    boxes = found.corners(emit, centers, emit.mul(emit.node("Exp", growth), emit.constant(halves, "halves")), 2)
    boxes = emit.reshape(emit.transpose(boxes, (0, 1, 3, 4, 2)), [-1, len(sizes) * height * width, 4])
    return boxes, emit.node("Sigmoid", objectness)
