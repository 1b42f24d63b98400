"""Losses, where a net for use has them: scalars, which standard operators can say."""

from __future__ import annotations

import math

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.labels import Labels, by_classes, divided, items, one_hot, picked, read_labels, total
from segcaffe.export.onnx.registry import maps
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.layers.base import Layer
from segcaffe.layers.loss.class_labels import SMALLEST_LOG
from segcaffe.layers.loss.hinge_loss import HingeLoss
from segcaffe.layers.loss.infogain_loss import InfogainLoss
from segcaffe.layers.loss.l1_loss import L1Loss
from segcaffe.layers.loss.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from segcaffe.layers.loss.smooth_l1_loss import SmoothL1Loss
from segcaffe.layers.loss.smooth_l1_loss_ohem import SmoothL1LossOHEM
from segcaffe.layers.loss.softmax_with_loss import FLOOR, SoftmaxWithLoss


@maps("SoftmaxWithLoss", "SoftmaxWithLossOHEM")
def softmax_with_loss(layer: SoftmaxWithLoss, emit: Emitter) -> list[str]:
    """LogSoftmax, that of the label gathered, weighted and summed; a third top has it of each position."""
    scores = by_classes(emit, layer.layout)
    logs = emit.softmax(scores, 1, 3, log=True)
    labels = read_labels(emit, layer.layout, layer.ignore)
    weights = labels.counts
    if not (layer.class_weight == 1).all():
        by_class = emit.constant(layer.class_weight.astype(np.float32), "class_weight")
        weights = emit.mul(weights, str(emit.node("Gather", by_class, labels.number, axis=0)))
    logs = str(emit.node("Max", logs, emit.number(math.log(FLOOR), "floor")))
    log = picked(emit, logs, labels)
    if layer.smoothing:
        share = layer.smoothing / layer.layout[1]
        others = emit.times(emit.reduce("ReduceSum", logs, [1]), share)
        log = emit.add(emit.times(log, 1 - layer.smoothing - share), others)
    each = emit.mul(str(emit.node("Neg", log)), weights)
    valid = total(emit, labels.counts if layer.counts_positions else weights)
    tops = [divided(emit, total(emit, each), layer.normalization, labels, valid)]
    if len(emit.top) > 1:
        tops.append(emit.softmax(emit.input, layer.axis, emit.ndim()))
    if len(emit.top) > 2:
        tops.append(emit.as_top(each, 2))
    return tops


@maps("InfogainLoss")
def infogain_loss(layer: InfogainLoss, emit: Emitter) -> list[str]:
    """Rows of the matrix, by the labels, times logarithms of the probabilities."""
    classes = layer.layout[1]
    scores = by_classes(emit, layer.layout)
    labels = read_labels(emit, layer.layout, layer.ignore)
    least = emit.number(math.log(SMALLEST_LOG), "least_log")
    logs = str(emit.node("Max", emit.softmax(scores, 1, 3, log=True), least))
    if layer.read_matrix is None:
        matrix = emit.reshape(emit.inputs[2], [classes, classes])
    else:
        matrix = emit.constant(np.asarray(layer.read_matrix, np.float32).reshape(classes, classes), "matrix")
    rows = str(emit.node("MatMul", emit.transpose(one_hot(emit, labels, classes), (0, 2, 1)), matrix))
    loss = total(emit, emit.mul(rows, str(emit.node("Neg", emit.transpose(logs, (0, 2, 1))))))
    loss = divided(emit, loss, layer.normalization, labels)
    return [loss, emit.softmax(emit.input, layer.axis, emit.ndim())][: len(emit.top)]


@maps("MultinomialLogisticLoss")
def multinomial_logistic_loss(layer: Layer, emit: Emitter) -> str:
    """The label's probability gathered, its logarithm averaged."""
    layout = (emit.shape()[0], math.prod(emit.shape()[1:]), 1)
    probability = picked(emit, by_classes(emit, layout), read_labels(emit, layout))
    log = str(emit.node("Log", emit.node("Max", probability, emit.number(SMALLEST_LOG, "least"))))
    return emit.div(str(emit.node("Neg", total(emit, log))), items(emit))


@maps("HingeLoss")
def hinge_loss(layer: HingeLoss, emit: Emitter) -> str:
    """What scores lack of a margin of 1, or its square."""
    layout = (emit.shape()[0], math.prod(emit.shape()[1:]), 1)
    sign = emit.plus(emit.times(one_hot(emit, read_labels(emit, layout), layout[1]), 2.0), -1.0)
    lacking = emit.sub(emit.number(1.0, "margin"), emit.mul(sign, by_classes(emit, layout)))
    margin = str(emit.node("Relu", lacking))
    return emit.div(total(emit, emit.mul(margin, margin) if layer.squared else margin), items(emit))


@maps("EuclideanLoss")
def euclidean_loss(layer: Layer, emit: Emitter) -> str:
    """Half the mean square of the difference, which may be weighted."""
    difference = emit.sub(emit.inputs[0], _as_first(emit, 1))
    if len(emit.inputs) > 2:
        difference = emit.mul(difference, _as_first(emit, 2))
    return emit.div(total(emit, emit.mul(difference, difference)), emit.times(items(emit), 2.0))


def _as_first(emit: Emitter, index: int) -> str:
    """A bottom in the shape of the first."""
    return emit.inputs[index] if emit.shape(index) == emit.shape() else emit.reshape(emit.inputs[index], emit.sizes())


@maps("SigmoidCrossEntropyLoss")
def sigmoid_cross_entropy_loss(layer: SigmoidCrossEntropyLoss, emit: Emitter) -> str:
    """Softplus less score times target, over what counts."""
    layout = (emit.shape()[0], 1, math.prod(emit.shape()[1:]))
    emit.static(*range(1, emit.ndim())) if emit.ndim() > 1 else None
    score, target = (emit.reshape(value, [-1, 1, layout[2]]) for value in emit.inputs)
    each = emit.sub(str(emit.node("Softplus", score)), emit.mul(score, target))
    labels = read_labels(emit, layout, layer.ignore)
    counted = each if layer.ignore == NO_IGNORE else emit.mul(each, labels.counts)
    return divided(emit, total(emit, counted), layer.normalization, labels)


@maps("SmoothL1Loss")
def smooth_l1_loss(layer: SmoothL1Loss, emit: Emitter) -> str:
    """The square of small differences, the size of large ones."""
    loss = _smooth(emit, layer.sharpness)
    if len(emit.inputs) > 3:
        loss = emit.mul(loss, _as_first(emit, 3))
    positions = layer.divisor // max(1, emit.shape()[0])
    return emit.div(total(emit, loss), emit.times(items(emit), float(positions)))


@maps("SmoothL1LossOHEM")
def smooth_l1_loss_ohem(layer: SmoothL1LossOHEM, emit: Emitter) -> list[str]:
    """The square of small differences, the size of large ones; a second top has the sum of each position."""
    each = _smooth(emit, 1.0)
    # Every position counts: (N, 1, positions) of them, as the normalizer has it.
    position = emit.reshape(emit.reduce("ReduceSum", each, [1]), [-1, 1, layer.positions])
    counts = str(emit.node("Expand", emit.number(1.0, "one"), emit.node("Shape", position)))
    tops = [divided(emit, total(emit, each), layer.normalization, Labels(counts, counts))]
    return [*tops, *([emit.as_top(position, 1)] if len(emit.top) > 1 else [])]


def _smooth(emit: Emitter, sharp: float) -> str:
    """Of the difference of two bottoms, times a third: its square where it is less than 1 / sharp, else its size."""
    difference = emit.sub(emit.inputs[0], _as_first(emit, 1))
    if len(emit.inputs) > 2:
        difference = emit.mul(difference, _as_first(emit, 2))
    size = str(emit.node("Abs", difference))
    small = emit.times(emit.mul(difference, difference), sharp / 2)
    near = str(emit.node("Less", size, emit.number(1 / sharp, "near")))
    return emit.where(near, small, emit.plus(size, -0.5 / sharp))


@maps("L1Loss")
def l1_loss(layer: L1Loss, emit: Emitter) -> str:
    """Sizes of the differences that are numbers, or their lengths over the channels."""
    difference = emit.sub(*emit.inputs) if len(emit.inputs) > 1 else emit.input
    unknown = str(emit.node("IsNaN", difference))
    difference = emit.where(unknown, emit.number(0.0, "nothing"), difference)
    known = total(emit, emit.cast(str(emit.node("Not", unknown)), np.float32))
    if layer.by_length:
        scale = 1 / emit.shape()[1] if layer.prescale else 1.0
        squared = emit.times(emit.reduce("ReduceSumSquare", difference, [1]), scale)
        squared = _from(emit, squared, layer.plateau**2)
        sizes = str(emit.node("Sqrt", emit.plus(squared, layer.epsilon)))
    else:
        sizes = _from(emit, str(emit.node("Abs", difference)), layer.plateau)
    if not layer.by_entries:
        return emit.div(total(emit, sizes), items(emit))
    entries = emit.times(known, 1 / emit.shape()[1])
    none = str(emit.node("Equal", entries, emit.number(0.0, "none")))
    return emit.div(total(emit, sizes), emit.where(none, emit.number(1.0, "one"), entries))


def _from(emit: Emitter, value: str, least: float) -> str:
    """The value, 0 where it is less than ``least``."""
    if not least:
        return value
    small = str(emit.node("Less", value, emit.number(least, "plateau")))
    return emit.where(small, emit.number(0.0, "nothing"), value)
