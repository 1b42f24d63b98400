"""What layers share that compare scores over a class axis with integer labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.errors import DataError
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.layers.base import Layer

SMALLEST_LOG = 1e-20
"""Probabilities are taken as at least this before their logarithm."""


def class_layout(layer: Layer, scores: Blob, axis: int) -> tuple[int, int, int]:
    """The extents (outer, classes, inner) before, on and after the class axis of ``scores``.

    Raises
    ------
    ShapeError
        The blob has no such axis, or no class.
    """
    axis = scores.canonical_axis(axis, layer.where)
    shape = scores.shape
    if shape[axis] == 0:
        raise layer.fail("needs at least one class", f"shape {shape}, class axis {axis}")
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def check_label_count(layer: Layer, scores: Blob, labels: Blob, axis: int) -> None:
    """Raise ShapeError unless there is one label for each position of the scores."""
    outer, classes, inner = class_layout(layer, scores, axis)
    if labels.count != outer * inner:
        raise layer.fail(
            f"needs one label for each position of the scores: with {classes} classes on axis {axis} of shape "
            f"{scores.shape} that is {outer * inner} labels, in 0..{classes - 1}",
            f"{labels.count} labels, shape {labels.shape}",
        )


def ignored(layer: Layer) -> int:
    """The label that a layer's ``label_options`` ignore, as the kernels take it."""
    options = getattr(layer.param, layer.label_options)
    return int(options.ignore_label) if options.HasField("ignore_label") else NO_IGNORE


def check_one_label_each(layer: Layer, scores: Blob, labels: Blob) -> None:
    """Raise ShapeError unless there is one label for each item of a batch of scores (N, C)."""
    if not scores.ndim or not math.prod(scores.shape[1:]) or labels.count != scores.shape[0]:
        raise layer.fail(
            "needs scores (N, C), or (N, C, 1, 1), and one label for each of the N items",
            f"shapes {scores.shape} and {labels.shape}",
        )


def class_numbers(layer: Layer, labels: Blob, classes: int, ignore: int = NO_IGNORE) -> Array:
    """The labels as flat int64 on the device, rounded towards zero, -1 where they are ignored.

    Raises
    ------
    DataError
        A label is neither a class nor ignored.
    """
    xp = layer.xp
    values = xp.trunc(labels.array.reshape(-1))
    skip = values == ignore
    bad = ~(skip | ((values >= 0) & (values < classes)))
    if bad.any():
        raise bad_label(layer, labels, int(bad.argmax()), classes)
    return xp.where(skip, -1, values).astype(xp.int64)


def bad_label(layer: Layer, labels: Blob, position: int, classes: int) -> DataError:
    """The error for a label that is neither a class nor ignored; the caller raises it.

    Parameters
    ----------
    position:
        Index of the label in the flattened ``labels``.
    """
    value = float(labels.data.reshape(-1)[position])
    remedy = f", or set {layer.label_options} {{ ignore_label: {value:g} }} if it marks what is not to count"
    if not layer.label_options or not value.is_integer():
        remedy = ""
    return DataError(
        f"{layer.where}: label {value:g} (number {position} of {labels.count}) is not one of the {classes} classes, "
        f"0..{classes - 1}. Correct the labels{remedy}."
    )


def whole_numbers(layer: Layer, labels: Blob) -> np.ndarray[Any, Any]:
    """A copy of the labels as int64 on the host, rounded towards zero; DataError where one is no number of an area."""
    values = labels.data
    bad = ~(np.abs(values) < 2**53)
    if bad.any():
        position = int(bad.argmax())
        raise DataError(
            f"{layer.where}: labels must be whole numbers. Received: {values.flat[position]:g} at position {position}."
        )
    return values.astype(np.int64)
