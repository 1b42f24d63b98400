"""What is read off the scores of sequences, with operators that know neither sequences nor lists."""

from __future__ import annotations

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.export.onnx.registry import maps
from segcaffe.layers.metric.ctc_greedy_decoder import CTCGreedyDecoder
from segcaffe.layers.metric.labelsequence_accuracy import LabelsequenceAccuracy

_NONE = -1.0
"""What stands behind the last label of a sequence."""


@maps("CTCGreedyDecoder")
def ctc_greedy_decoder(layer: CTCGreedyDecoder, emit: Emitter) -> list[str]:
    """The labels that stay are brought to the front by sorting."""
    if layer.accuracy_top is not None:
        emit.refuse(
            "its accuracy counts the changes that turn one sequence into another, a table that fills cell by cell",
            "Give it no true labels, and compare outside the model",
        )
    emit.static(0, 2)
    steps, _, classes = layer.shape
    scores = emit.reshape(emit.input, [steps, -1, classes])
    best = emit.cast(emit.transpose(emit.node("ArgMax", scores, axis=2, keepdims=0), (1, 0)), np.float32)
    valid = _before_the_end(emit, steps)
    stays = emit.node("And", valid, _stays(emit, best, layer.blank, steps, layer.param.ctc_decoder_param))
    tops = [emit.unsqueeze(_to_the_front(emit, best, stays, steps), [2, 3])]
    if layer.score_top is not None:
        highest = emit.transpose(emit.reduce("ReduceMax", scores, [2], keepdims=False), (1, 0))
        total = emit.reduce("ReduceSum", emit.where(valid, highest, emit.number(0, "nothing")), [1])
        tops.append(emit.unsqueeze(emit.node("Neg", total), [2, 3]))
    return tops


@maps("LabelsequenceAccuracy")
def labelsequence_accuracy(layer: LabelsequenceAccuracy, emit: Emitter) -> str:
    """The share of items whose sequences are as long as their labels and equal them."""
    emit.static(1, 2)
    steps, count = emit.shape()[1], int(np.prod(emit.shape(1)[1:]))
    blank = layer.param.labelsequence_accuracy_param.blank_label
    best = emit.cast(emit.node("ArgMax", emit.input, axis=2, keepdims=0), np.float32)
    labels = emit.reshape(emit.cast(emit.cast(emit.inputs[1], np.int32), np.float32), [-1, count])
    found, true = _stays(emit, best, blank, steps), _differs(emit, labels, emit.number(blank, "blank"))
    lengths = [emit.reduce("ReduceSum", emit.cast(stays, np.float32), [1]) for stays in (found, true)]
    longer = max(steps, count)
    rows = [
        emit.pad(_to_the_front(emit, values, stays, extent), [(0, 0), (0, longer - extent)], _NONE)
        for values, stays, extent in ((best, found, steps), (labels, true, count))
    ]
    same = emit.reduce("ReduceMin", emit.cast(emit.node("Equal", *rows), np.float32), [1])
    hits = emit.mul(same, emit.cast(emit.node("Equal", *lengths), np.float32))
    return emit.reduce("ReduceMean", hits, [0, 1], keepdims=False)


def _before_the_end(emit: Emitter, steps: int) -> str:
    """Which steps (N, T) come before the first 0 of the indicators after the first step."""
    indicators = emit.transpose(emit.reshape(emit.inputs[1], [steps, -1]), (1, 0))
    ends = emit.cast(emit.node("Equal", indicators, emit.number(0, "end")), np.float32)
    ends = emit.mul(ends, emit.constant((np.arange(steps) > 0).astype(np.float32), "after_first"))
    return str(emit.node("Equal", emit.node("CumSum", ends, emit.ints(1, "axis")), emit.number(0, "end")))


def _stays(emit: Emitter, classes: str, blank: int, steps: int, options: object = None) -> str:
    """Which classes (N, T) are labels: no blanks, and of equal neighbours the first."""
    stays = _differs(emit, classes, emit.number(blank, "blank"))
    if not getattr(options, "ctc_merge_repeated", True):
        return stays
    before = emit.slice(emit.pad(classes, [(0, 0), (1, 0)], _NONE), [0], [steps], [1])
    return str(emit.node("And", stays, _differs(emit, classes, before)))


def _differs(emit: Emitter, x: str, y: str) -> str:
    return str(emit.node("Not", emit.node("Equal", x, y)))


def _to_the_front(emit: Emitter, values: str, stays: str, count: int) -> str:
    """Those of values (N, T) that stay, in their order, then `_NONE`."""
    ranks = emit.constant(np.arange(count, 0, -1).astype(np.float32), "ranks")
    keys = emit.where(stays, ranks, emit.node("Neg", ranks))
    keys, order = emit.node("TopK", keys, emit.ints([count], "count"), outputs=2, axis=1)
    values = emit.node("GatherElements", values, order, axis=1)
    return emit.where(emit.node("Less", keys, emit.number(0, "zero")), emit.number(_NONE, "none"), values)
