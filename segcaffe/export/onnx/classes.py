"""Layers that choose among classes, and that measure how well it was done."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.labels import Labels, by_classes, items, one_hot, picked, read_labels, total
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.metric.accuracy import Accuracy
from segcaffe.layers.metric.accuracy_regression import AccuracyRegression
from segcaffe.layers.metric.arg_max import ArgMax
from segcaffe.layers.metric.seg_accuracy import SegAccuracy


@maps("ArgMax")
def arg_max(layer: ArgMax, emit: Emitter) -> str:
    """ArgMax and ReduceMax, or TopK of the values from the last to the first: of equal ones the larger index wins."""
    value, axis = (emit.input, layer.axis) if layer.axis is not None else (_as_rows(emit), 1)
    axis %= emit.ndim() if layer.axis is not None else 2
    emit.static(*(range(1, emit.ndim()) if layer.axis is None else [axis]))
    extent = math.prod(emit.shape()[1:]) if layer.axis is None else emit.shape()[axis]
    if layer.top_k == 1:
        indices, values = emit.arg_max(value, axis), emit.reduce("ReduceMax", value, [axis])
    else:
        indices, values = _largest(emit, value, axis, extent, layer.top_k)
    if layer.axis is not None:
        return values if layer.values else emit.cast(indices, np.float32)
    parts = [emit.cast(indices, np.float32), *([values] if layer.values else [])]
    return emit.as_top(emit.concat(parts, 1))


def _as_rows(emit: Emitter) -> str:
    return emit.input if emit.ndim() == 2 else str(emit.node("Flatten", emit.input, axis=1))


def _largest(emit: Emitter, value: str, axis: int, extent: int, count: int) -> tuple[str, str]:
    """Indices and values of the largest; TopK prefers the smaller index, so it sees the values turned around."""
    turned = emit.slice(value, [-1], [-(2**62)], [axis], [-1])
    values, indices = emit.node("TopK", turned, emit.ints([count], "k"), outputs=2, axis=axis)
    return emit.sub(emit.ints(extent - 1, "last"), indices), values


@maps("Accuracy")
def accuracy(layer: Accuracy, emit: Emitter) -> list[str]:
    """The share of labels whose score fewer than top_k others reach; of each class, too."""
    labels = read_labels(emit, layer.layout, layer.ignore)
    scores = by_classes(emit, layer.layout)
    below = str(emit.node("Less", scores, picked(emit, scores, labels)))
    as_high = emit.reduce("ReduceSum", emit.cast(str(emit.node("Not", below)), np.float32), [1])
    # The label itself is among those that are as high.
    hit = emit.cast(str(emit.node("Less", as_high, emit.number(layer.top_k + 1.0, "most"))), np.float32)
    hits = emit.mul(hit, labels.counts)
    tops = [_share(emit, total(emit, hits), total(emit, labels.counts))]
    if len(emit.top) > 1:
        where = one_hot(emit, labels, layer.layout[1])
        by_class = [emit.reduce("ReduceSum", value, [0, 2], keepdims=False) for value in (emit.mul(where, hits), where)]
        tops.append(_share(emit, *by_class))
    return tops


def _share(emit: Emitter, part: str, whole: str) -> str:
    return emit.div(part, str(emit.node("Max", whole, emit.number(1.0, "least"))))


@maps("AccuracyRegression")
def accuracy_regression(layer: AccuracyRegression, emit: Emitter) -> str:
    """Half the mean of distances."""
    distance = str(emit.node("Abs", emit.sub(*emit.inputs)))
    return emit.div(total(emit, distance), emit.times(items(emit), 2.0))


@maps("SegAccuracy")
def seg_accuracy(layer: SegAccuracy, emit: Emitter) -> str:
    """Shares of a confusion matrix, which is a product of true and predicted classes."""
    if not layer.reset:
        emit.refuse(
            "its confusion matrix grows from batch to batch, and a model keeps nothing between runs",
            "Set seg_accuracy_param { reset: true } to measure each batch by itself",
        )
    classes = layer.layout[1]
    labels = read_labels(emit, layer.layout)
    scores = by_classes(emit, layer.layout)
    true = one_hot(emit, labels, classes)
    if layer.ignore.size:
        counted = np.isin(np.arange(classes), layer.ignore, invert=True).astype(np.float32)
        true = emit.mul(true, emit.constant(counted.reshape(1, -1, 1), "counted"))
    predicted = one_hot(emit, Labels(emit.arg_max(scores, 1), emit.reduce("ReduceSum", true, [1])), classes)
    rows = [emit.reshape(emit.transpose(value, order), shape) for value, order, shape in (
        (true, (1, 0, 2), [classes, -1]), (predicted, (0, 2, 1), [-1, classes]))]  # fmt: skip
    matrix = str(emit.node("MatMul", *rows))
    return emit.as_top(emit.concat([emit.unsqueeze(value, [0]) for value in _measures(emit, matrix, classes)], 0))


def _measures(emit: Emitter, matrix: str, classes: int) -> list[str]:
    """Share of pixels that are right, the mean over classes of that, and of intersection over union: scalars."""
    right = emit.reduce("ReduceSum", emit.mul(matrix, emit.constant(np.eye(classes, dtype=np.float32), "eye")), [1],
                        keepdims=False)  # fmt: skip
    true, predicted = (emit.reduce("ReduceSum", matrix, [axis], keepdims=False) for axis in (1, 0))
    least = emit.number(1.0, "least")
    occurs = emit.clip(true, 0, 1)
    recall = emit.div(right, str(emit.node("Max", true, least)))
    mean_recall = emit.div(total(emit, recall), str(emit.node("Max", total(emit, occurs), least)))
    union = emit.sub(emit.add(true, predicted), right)
    absent = str(emit.node("Less", union, emit.number(0.5, "half")))
    overlap = emit.where(absent, least, emit.div(right, str(emit.node("Max", union, least))))
    pixels = emit.div(total(emit, right), str(emit.node("Max", total(emit, true), least)))
    return [pixels, mean_recall, emit.times(total(emit, overlap), 1 / classes)]
