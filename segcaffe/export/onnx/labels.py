"""What losses and measures have in common: labels as indices, which of them count, and what is divided by."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from segcaffe.export.onnx.emitter import Emitter
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.layers.loss.normalization import Normalization
from segcaffe.proto.caffe_pb2 import LossParameter

Layout = tuple[int, int, int]
"""Extents before, on and after the classes' axis."""


class Labels(NamedTuple):
    """Labels (outer, 1, inner) of scores (outer, C, inner).

    Attributes
    ----------
    number:
        Class numbers (int64), 0 where a label is ignored.
    counts:
        1 where a label counts, 0 where it is ignored (float32).
    """

    number: str
    counts: str


def by_classes(emit: Emitter, layout: Layout, value: str | None = None, index: int = 0) -> str:
    """Scores as (outer, C, inner)."""
    emit.static(*_axes_behind(emit, layout, index), index=index)
    return emit.reshape(value or emit.inputs[index], [-1, *layout[1:]])


def _axes_behind(emit: Emitter, layout: Layout, index: int) -> list[int]:
    """The axes of a bottom that hold classes and what is behind them."""
    shape, rest = emit.shape(index), layout[1] * layout[2]
    first = next(axis for axis in range(len(shape) + 1) if math.prod(shape[axis:]) == rest)
    return list(range(first, len(shape))) or [-1]


def read_labels(emit: Emitter, layout: Layout, ignore: int = NO_IGNORE, index: int = 1) -> Labels:
    """The labels, rounded towards zero, and which of them count."""
    numbers = emit.cast(emit.reshape(emit.inputs[index], [-1, 1, layout[2]]), np.int64)
    if ignore == NO_IGNORE:
        return Labels(numbers, str(emit.node("Expand", emit.number(1.0, "one"), emit.node("Shape", numbers))))
    ignored = str(emit.node("Equal", numbers, emit.ints(ignore, "ignore")))
    chosen = emit.where(ignored, emit.ints(0, "none"), numbers)
    return Labels(chosen, emit.cast(str(emit.node("Not", ignored)), np.float32))


def one_hot(emit: Emitter, labels: Labels, classes: int) -> str:
    """(outer, C, inner) with 1 at the label of each position that counts, 0 elsewhere."""
    numbers = emit.constant(np.arange(classes, dtype=np.int64).reshape(1, -1, 1), "classes")
    here = emit.cast(str(emit.node("Equal", labels.number, numbers)), np.float32)
    return emit.mul(here, labels.counts)


def picked(emit: Emitter, values: str, labels: Labels) -> str:
    """Of values (outer, C, inner) that of the label at each position, (outer, 1, inner)."""
    return str(emit.node("GatherElements", values, labels.number, axis=1))


def total(emit: Emitter, value: str) -> str:
    """The sum of all elements, a scalar."""
    return str(emit.node("ReduceSum", value, keepdims=0))


def items(emit: Emitter, index: int = 0) -> str:
    """How many items a bottom has, at least 1, a scalar."""
    if not (emit.grows[index] or emit.open[index]):
        return emit.number(max(1, emit.shape(index)[0]), "items")
    count = emit.gather(str(emit.node("Shape", emit.inputs[index])), 0, 0)
    return emit.cast(count, np.float32)


def divided(emit: Emitter, value: str, normalization: Normalization, labels: Labels, valid: str | None = None) -> str:
    """A sum over its normalizer; ``valid`` is what counts where that is not the number of labels that do."""
    mode = normalization.mode
    if mode in (LossParameter.PRE_FIXED, LossParameter.NONE):
        return emit.times(value, 1 / normalization.fixed if mode == LossParameter.PRE_FIXED else 1.0)
    if mode == LossParameter.VALID:
        count = valid or total(emit, labels.counts)
    else:
        shape = str(emit.node("Shape", labels.counts))
        kept = [0] if mode == LossParameter.BATCH_SIZE else [0, 2]
        count = emit.cast(str(emit.node("ReduceProd", emit.gather(shape, kept, 0), keepdims=0)), np.float32)
    return emit.div(value, str(emit.node("Max", count, emit.number(1.0, "least"))))
