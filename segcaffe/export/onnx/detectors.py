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
    labels = [label for label in range(layer.classes) if label != layer.background]
    if not labels:
        emit.refuse("all its classes are background, so that it never finds anything")
    predicted = Predicted(layer, emit, labels)
    kept, boxes, scores = _suppressed(layer, emit, predicted)
    kept, real = found.or_none(emit, kept, 1 if predicted.shared else len(labels))
    item, label = kept.item, kept.label
    if not predicted.shared:
        classes = emit.ints([len(labels)], "classes")
        item, label = emit.div(kept.item, classes), emit.node("Mod", kept.item, classes)
    names = emit.node("Gather", emit.constant(np.array(labels, np.float32), "labels"), label, axis=0)
    score, own = emit.node("GatherND", scores, kept.all), found.at(emit, boxes, kept.item, kept.place)
    rows = found.rows_of(emit, item, names, score, own)
    return found.detections(emit, rows, real, layer.keep_top_k)


def _suppressed(layer: DetectionOutput, emit: Emitter, predicted: Predicted) -> tuple[found.Kept, str, str]:
    """What suppression keeps, and the boxes (M, P, 4) and scores (M, L, P) that it looked at."""
    wanted, count = layer.suppression, layer.priors
    lowers = wanted.eta < 1 and wanted.overlap > found.LEAST_OF_ETA
    looked_at = wanted.top_k if -1 < wanted.top_k < count else count
    boxes, scores = predicted.boxes(), predicted.scores()
    if lowers or looked_at < count:
        boxes = predicted.apart(boxes)
        boxes, scores = found.best(emit, boxes, emit.reshape(scores, [-1, count]), looked_at)
    if not predicted.shared:
        # The classes have boxes of their own: each is an item to the operator.
        scores = emit.reshape(scores, [-1, 1, looked_at])
    if lowers:
        return found.suppress_more(emit, boxes, scores, wanted), boxes, scores
    kept = found.suppress(emit, boxes, scores, looked_at, wanted.overlap, float(wanted.score))
    return kept, boxes, scores


class Predicted:
    """A detector's predictions, as `segcaffe.layers.detection.predictions.Predictions` has them.

    Attributes
    ----------
    shared:
        Whether the classes of an item have the same boxes.
    """

    def __init__(self, layer: DetectionOutput, emit: Emitter, labels: list[int]) -> None:
        self._layer, self._emit, self._labels = layer, emit, labels
        self.shared = layer.shared
        places = list(range(len(emit.inputs)))
        self._locations, self._confidences, self._priors = (places[part] for part in layer.bottoms.parts)
        self._first_stage = places[layer.bottoms.first_stage]

    def boxes(self) -> str:
        """The boxes (N, P, 4), or where classes have their own (N L, P, 4)."""
        emit, layer = self._emit, self._layer
        both = emit.concat([emit.reshape(emit.inputs[i], [2, -1, 4]) for i in self._priors], 1)
        priors, variances = (emit.squeeze(part, [0]) for part in emit.split(both, 0, [1, 1]))
        if len(self._first_stage) > 1:
            shifts = emit.reshape(emit.inputs[self._first_stage[1]], [-1, layer.priors, 4])
            priors = _decoded(layer.coding, emit, (priors, variances), shifts)
            priors = priors if self.shared else self._once_each(priors)
        coded = emit.concat([self._locations_of(i) for i in self._locations], 1)
        if self.shared:
            coded = emit.squeeze(coded, [2])
        else:
            coded = emit.transpose(found.only(emit, coded, self._labels, layer.classes, 2), (0, 2, 1, 3))
            coded = emit.reshape(coded, [-1, layer.priors, 4])
        return _decoded(layer.coding, emit, (priors, variances), coded)

    def apart(self, boxes: str) -> str:
        """Boxes of the classes' own; those of an item are repeated for each class."""
        own = self._once_each(boxes) if self.shared else boxes
        self.shared = False
        return own

    def _once_each(self, boxes: str) -> str:
        repeated = self._emit.node("Tile", boxes, self._emit.ints([1, len(self._labels), 1], "repeats"))
        return self._emit.reshape(repeated, [-1, self._layer.priors, 4])

    def scores(self) -> str:
        """The scores (N, L, P); of what is no object only the first class has one."""
        emit, layer = self._emit, self._layer
        scores = emit.concat([self._confidences_of(i) for i in self._confidences], 1)
        if self._first_stage:
            objectness = emit.reshape(emit.inputs[self._first_stage[0]], [-1, layer.priors, 2])
            objectness = emit.slice(objectness, [1], [2], [2])
            nothing = (np.arange(layer.classes) == 0).astype(np.float32)
            unlikely = emit.node("Less", objectness, emit.number(layer.objectness, "objectness_score"))
            scores = emit.where(unlikely, emit.constant(nothing, "nothing"), scores)
        return emit.transpose(found.only(emit, scores, self._labels, layer.classes, 2), (0, 2, 1))

    def _locations_of(self, index: int) -> str:
        """A bottom's locations (N, P, S, 4)."""
        emit, slots = self._emit, self._layer.bottoms.slots
        values = emit.inputs[index]
        if self._layer.bottoms.as_maps:
            _, channels, height, width = emit.shape(index)
            values = emit.reshape(values, [-1, channels // (4 * slots), slots, 4, height * width])
            values = emit.transpose(values, (0, 4, 1, 2, 3))
        return emit.reshape(values, [-1, self._of_item(index) // (4 * slots), slots, 4])

    def _confidences_of(self, index: int) -> str:
        """A bottom's confidences (N, P, C)."""
        emit, classes = self._emit, self._layer.classes
        values = emit.inputs[index]
        if self._layer.bottoms.as_maps:
            values = emit.transpose(values, (0, 3, 2, 1))
        return emit.reshape(values, [-1, self._of_item(index) // classes, classes])

    def _of_item(self, index: int) -> int:
        """How many numbers an item has in a bottom."""
        return int(np.prod(self._emit.shape(index)[1:]))


def _decoded(code: Code, emit: Emitter, given: tuple[str, str], coded: str) -> str:
    """See `segcaffe.detection.boxes.decode`; ``given`` are priors (P, 4) or (M, P, 4), and variances (P, 4)."""
    priors, variances = given
    scaled = coded if code.variance_in_target else emit.mul(coded, variances)
    if code.kind == "CORNER":
        return emit.add(priors, scaled)
    low, high = emit.split(priors, -1, [2, 2])
    sizes = emit.sub(high, low)
    if code.kind == "CORNER_SIZE":
        return emit.add(priors, emit.mul(scaled, emit.concat([sizes, sizes], -1)))
    shift, growth = emit.split(scaled, 2, [2, 2])
    centers = emit.add(emit.mul(shift, sizes), emit.times(emit.add(low, high), 0.5))
    halves = emit.mul(emit.node("Exp", growth), emit.times(sizes, 0.5))
    return found.corners(emit, centers, halves, 2)
