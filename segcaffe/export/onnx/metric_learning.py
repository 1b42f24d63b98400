"""Losses that compare vectors with each other."""

from __future__ import annotations

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.loss.center_loss import CenterLoss
from segcaffe.layers.loss.contrastive_loss import ContrastiveLoss
from segcaffe.layers.loss.label_specific_add import LabelSpecificAdd
from segcaffe.layers.loss.triplet_loss import TripletLoss


@maps("CenterLoss")
def center_loss(layer: CenterLoss, emit: Emitter) -> str:
    """Half the mean of the squared distances from the centres that the labels name."""
    labels = emit.cast(emit.reshape(emit.inputs[1], [-1]), np.int64)
    centers = emit.node("Gather", emit.parameter(0), labels, axis=0)
    return _half_mean(emit, _squares(emit, emit.sub(_vectors(emit, 0), centers)))


@maps("ContrastiveLoss")
def contrastive_loss(layer: ContrastiveLoss, emit: Emitter) -> str:
    """Half the mean of the squared distances of what is alike, and of what others lack of the margin, squared."""
    squared = _squares(emit, emit.sub(_vectors(emit, 0), _vectors(emit, 1)))
    margin = emit.number(layer.margin, "margin")
    if layer.legacy:
        apart = emit.node("Relu", emit.sub(margin, squared))
    else:
        lacking = emit.node("Relu", emit.sub(margin, emit.node("Sqrt", squared)))
        apart = emit.mul(lacking, lacking)
    marks = emit.cast(emit.reshape(emit.inputs[2], [-1]), np.int32)
    other = emit.node("Equal", marks, emit.constant(np.int32(0), "other"))
    return _half_mean(emit, emit.where(other, apart, squared))


@maps("TripletLoss")
def triplet_loss(layer: TripletLoss, emit: Emitter) -> str:
    """Half the mean of what references are too far from their likes, compared with their unlikes."""
    reference, like, unlike = _triplets(layer, emit)
    near = emit.reduce("ReduceSumSquare", emit.sub(reference, like), [2], keepdims=False)
    far = emit.reduce("ReduceSumSquare", emit.sub(reference, unlike), [2], keepdims=False)
    if layer.ratio:
        quotient = emit.div(far, emit.plus(near, layer.margin))
        losses = emit.sub(emit.number(1, "one"), quotient)
    else:
        losses = emit.sub(emit.plus(near, layer.margin), far)
    total = emit.reduce("ReduceSum", emit.node("Relu", losses), [1], keepdims=False)
    if layer.in_sets:
        total = emit.add(total, emit.squeeze(near, [1]))
    return _half_mean(emit, total)


@maps("LabelSpecificAdd")
def label_specific_add(layer: LabelSpecificAdd, emit: Emitter) -> str:
    """The scores: the margin is for training."""
    return emit.input


def _triplets(layer: TripletLoss, emit: Emitter) -> list[str]:
    """References (S, 1, C), likes (S, 1, C), unlikes (S, K, C)."""
    if not layer.in_sets:
        return [emit.unsqueeze(_vectors(emit, i), [1]) for i in range(3)]
    emit.fixed_batch("its batch is sets of vectors, and none may be cut")
    values = int(np.prod(emit.shape()[1:]))
    sets = emit.reshape(emit.input, [-1, 2 + layer.unlikes, values])
    return emit.split(sets, 1, [1, 1, layer.unlikes])


def _vectors(emit: Emitter, index: int) -> str:
    """A bottom as (N, D)."""
    return emit.inputs[index] if emit.ndim(index) == 2 else str(emit.node("Flatten", emit.inputs[index], axis=1))


def _squares(emit: Emitter, vectors: str) -> str:
    return emit.reduce("ReduceSumSquare", vectors, [1], keepdims=False)


def _half_mean(emit: Emitter, of_items: str) -> str:
    return emit.times(emit.reduce("ReduceMean", of_items, [0], keepdims=False), 0.5)
