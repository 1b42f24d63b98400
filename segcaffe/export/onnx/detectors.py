"""SSD: prior boxes, which are constants, and the detections made of them."""

from __future__ import annotations

import numpy as np

from segcaffe.detection.boxes import Code
from segcaffe.export.onnx import boxes as found
from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.detection.detection_output import DetectionOutput
from segcaffe.layers.detection.prior_box import PriorBoxes


@maps("PriorBox", "PriorBoxClustered")
def priors(layer: PriorBoxes, emit: Emitter) -> str:
    """Boxes follow from the sizes of grid and image alone."""
    emit.static(2, 3)
    return emit.constant(layer.boxes, "priors")


@maps("DetectionOutput")
def detection_output(layer: DetectionOutput, emit: Emitter) -> str:
    """Boxes are decoded, of each class the best pass NonMaxSuppression, of each item the best of those are kept."""
    wanted, count = layer.suppression, layer.priors
    lowers = wanted.eta < 1 and wanted.overlap > found.LEAST_OF_ETA
    labels = [label for label in range(layer.classes) if label != layer.background]
    if not labels:
        emit.refuse("all its classes are background, so that it never finds anything")
    boxes, scores = _boxes(layer, emit, labels), _scores(layer, emit, labels)
    shared, looked_at = layer.shared, count
    if lowers or -1 < wanted.top_k < count:
        looked_at = wanted.top_k if -1 < wanted.top_k < count else count
        if shared:
            boxes = emit.expand(emit.unsqueeze(boxes, [1]), [1, len(labels), 1, 1])
        boxes = emit.reshape(boxes, [-1, count, 4])
        boxes, scores = found.best(emit, boxes, emit.reshape(scores, [-1, count]), looked_at)
        shared = False
    if not shared:
        # The classes have boxes of their own: each is an item to the operator.
        scores = emit.reshape(scores, [-1, 1, looked_at])
    if lowers:
        kept = found.suppress_more(emit, boxes, scores, wanted)
    else:
        kept = found.suppress(emit, boxes, scores, looked_at, wanted.overlap, float(wanted.score))
    item, label = kept.item, kept.label
    if not shared:
        classes = emit.ints([len(labels)], "classes")
        item, label = emit.div(kept.item, classes), emit.node("Mod", kept.item, classes)
    names = emit.node("Gather", emit.constant(np.array(labels, np.float32), "labels"), label, axis=0)
    score, own = emit.node("GatherND", scores, kept.all), found.at(emit, boxes, kept.item, kept.place)
    rows = found.rows_of(emit, item, names, score, own)
    return found.detections(emit, found.best_of_items(emit, rows, layer.keep_top_k))


def _boxes(layer: DetectionOutput, emit: Emitter, labels: list[int]) -> str:
    """The boxes (N, P, 4), or where classes have their own (N L, P, 4)."""
    count, both = layer.priors, emit.reshape(emit.inputs[2], [2, layer.priors, 4])
    priors, variances = (emit.squeeze(part, [0]) for part in emit.split(both, 0, [1, 1]))
    if layer.shared:
        coded = emit.reshape(emit.input, [-1, count, 4])
    else:
        coded = emit.reshape(emit.input, [-1, count, layer.classes, 4])
        coded = emit.transpose(found.only(emit, coded, labels, layer.classes, 2), (0, 2, 1, 3))
        coded = emit.reshape(coded, [-1, count, 4])
    return _decoded(layer.coding, emit, (priors, variances), coded)


def _scores(layer: DetectionOutput, emit: Emitter, labels: list[int]) -> str:
    """The scores (N, L, P)."""
    scores = emit.reshape(emit.inputs[1], [-1, layer.priors, layer.classes])
    return emit.transpose(found.only(emit, scores, labels, layer.classes, 2), (0, 2, 1))


def _decoded(code: Code, emit: Emitter, given: tuple[str, str], coded: str) -> str:
    """See `segcaffe.detection.boxes.decode`; ``given`` are priors and variances."""
    priors, variances = given
    scaled = coded if code.variance_in_target else emit.mul(coded, variances)
    if code.kind == "CORNER":
        return emit.add(priors, scaled)
    low, high = emit.split(priors, 1, [2, 2])
    sizes = emit.sub(high, low)
    if code.kind == "CORNER_SIZE":
        return emit.add(priors, emit.mul(scaled, emit.concat([sizes, sizes], 1)))
    shift, growth = emit.split(scaled, 2, [2, 2])
    centers = emit.add(emit.mul(shift, sizes), emit.times(emit.add(low, high), 0.5))
    halves = emit.mul(emit.node("Exp", growth), emit.times(sizes, 0.5))
    return found.corners(emit, centers, halves, 2)
