"""What layers share that compare scores over a class axis with integer labels."""

from __future__ import annotations

import math

from segcaffe.blob import Blob
from segcaffe.errors import DataError
from segcaffe.kernels.softmax_loss import NO_IGNORE
from segcaffe.layers.base import Layer


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


def ignored(has: bool, label: int) -> int:
    """The label to ignore as the kernels take it."""
    return label if has else NO_IGNORE


def bad_label(layer: Layer, labels: Blob, position: int, classes: int, option: str) -> DataError:
    """The error for a label that is neither a class nor ignored; the caller raises it.

    Parameters
    ----------
    position:
        Index of the label in the flattened ``labels``.
    option:
        Where the label to ignore can be set, for example ``loss_param``.
    """
    value = float(labels.data.reshape(-1)[position])
    return DataError(
        f"{layer.where}: label {value:g} (number {position} of {labels.count}) is not one of the {classes} classes, "
        f"0..{classes - 1}. Correct the labels, or set {option} {{ ignore_label: {value:g} }} if it marks what is not "
        "to count."
    )
