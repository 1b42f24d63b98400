"""SoftmaxWithLoss: multinomial logistic loss of the softmax of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.kernels import softmax_loss
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import bad_label, check_label_count, class_layout, ignored
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.registry import register
from segcaffe.proto.encoding import to_native

FLOOR = float(np.finfo(np.float32).tiny)
"""Probabilities count as at least this."""


@register
class SoftmaxWithLoss(LossLayer):
    """Loss = sum of -w[label] log p[label] over the positions that are not ignored, over a normalizer.

    bottom: scores (..., C, ...) with the classes on softmax_param.axis, labels (as many as positions).
    top: scalar; optionally the probabilities, of the scores' shape.

    Probabilities count as at least the smallest normal float32. The weights w are 1, or read from
    loss_param.weight_source: C non-negative numbers. Normalization VALID divides by the sum of the weights of the
    labels that count. With weight_by_label_freqs the weights are class_weighting's, one for each class, and VALID
    divides by the number of the labels that count (SegNet, ENet).

    With label_smoothing e the loss of a position is -w[label] times the sum of t[c] log p[c], where t is 1 - e for the
    label and e / C for each other class (Intel, NVIDIA).
    """

    options_field = label_options = "loss_param"
    other_options = ("softmax_param",)
    top_count = (1, 2)
    replayable = False
    fork_options = frozenset(
        {f"LossParameter.{name}" for name in ("weight_by_label_freqs", "class_weighting", "label_smoothing")}
    )

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis, the label to ignore, the normalization and the class weights."""
        param = self.param.loss_param
        self.axis: int = self.param.softmax_param.axis
        self.ignore = ignored(self)
        self.normalization = normalization_mode(param)
        _, classes, _ = class_layout(self, bottom[0], self.axis)
        self.counts_positions: bool = param.weight_by_label_freqs
        self.class_weight = self._class_weights(classes)
        self.smoothing: float = param.label_smoothing
        if not 0 <= self.smoothing < 1:
            raise self.fail("loss_param.label_smoothing must be 0 or more, and below 1", self.smoothing)

    def _class_weights(self, classes: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        param = self.param.loss_param
        source = to_native(param.weight_source)
        if not param.weight_by_label_freqs:
            return _read_weights(self.where, source, classes) if source else np.ones(classes)
        if source or len(param.class_weighting) != classes:
            raise self.fail(
                f"weight_by_label_freqs needs class_weighting once for each of the {classes} classes, and no "
                "weight_source",
                f"{len(param.class_weighting)} class_weighting{', weight_source' if source else ''}",
            )
        return np.array(param.class_weighting, np.float64)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a label for each position."""
        check_label_count(self, bottom[0], bottom[1], self.axis)
        self.layout = class_layout(self, bottom[0], self.axis)
        if self.layout[1] != self.class_weight.size:
            raise self.fail("the number of classes cannot change", f"{self.layout[1]}, was {self.class_weight.size}")
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(bottom[0])
        self.prob = self.own_blob("prob", self.layout)
        self.totals = self.own_blob("totals", (3,), np.float64)
        self.weight = self.own_blob("weight", (self.layout[1],))
        self.weight.data = self.class_weight

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute probabilities and loss; DataError where a label is no class."""
        outer, classes, inner = self.layout
        label = bottom[1].array.reshape(outer, inner)
        scores = bottom[0].array.reshape(self.layout)
        prob, totals = self.prob.array, self.totals.array
        softmax_loss.forward(scores, label, self.weight.array, self.ignore, FLOOR, prob, totals)
        loss, valid, bad = device.to_host(totals)
        if bad >= 0:
            raise bad_label(self, bottom[1], int(bad), classes)
        if self.counts_positions:
            valid = int((self.xp.trunc(label) != self.ignore).sum())
        if self.smoothing:
            loss = self._smoothed(loss, label)
        self.normalizer = normalizer(self.normalization, outer, inner, valid, self.training)
        top[0].array[...] = loss / self.normalizer
        if len(top) > 1:
            top[1].array = prob.reshape(bottom[0].shape)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of the scores: weight[label] (p - 1[label]) times loss weight over normalizer."""
        if not propagate_down[0]:
            return
        label = bottom[1].array.reshape(self.layout[0], self.layout[2])
        scale = float(top[0].diff) / self.normalizer
        grad = bottom[0].grad.reshape(self.layout)
        softmax_loss.backward(self.prob.array, label, self.weight.array, self.ignore, scale, grad)
        if self.smoothing:
            share = self.smoothing / self.layout[1]
            grad *= self.dtype.type(1 - self.smoothing - share)
            others = self.layout[1] * self.prob.array - 1
            grad += self._weight_of_positions(label)[:, None] * others * self.dtype.type(scale * share)

    def _smoothed(self, loss: float, label: Array) -> float:
        """The loss with all classes' parts, from that of the labels."""
        share = self.smoothing / self.layout[1]
        logs = self.xp.log(self.xp.maximum(self.prob.array, FLOOR)).sum(axis=1, dtype=np.float64)
        total = float((self._weight_of_positions(label) * logs).sum())
        return (1 - self.smoothing - share) * float(loss) - share * total

    def _weight_of_positions(self, label: Array) -> Array:
        """Of each position (outer, inner) the weight of its label; 0 where it is ignored."""
        classes = self.xp.trunc(label).astype(np.int64)
        known = (classes >= 0) & (classes < self.layout[1]) & (classes != self.ignore)
        weight = self.weight.array[self.xp.where(known, classes, 0)]
        return self.xp.where(known, weight, self.dtype.type(0))


def _read_weights(where: str, source: str, classes: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The weight of each class from a text file of numbers."""
    try:
        words = read_bytes(source).decode("ascii").split()
        weights = np.array([float(word) for word in words])
    except (OSError, ValueError) as error:
        raise DataError(
            f'{where}: weight_source "{source}" must be a readable file of {classes} numbers, one for each class. '
            f"Received: {error}."
        ) from error
    if weights.size != classes or not np.all(weights >= 0) or np.isinf(weights).any():
        raise DataError(
            f'{where}: weight_source "{source}" must hold exactly one non-negative number for each of the {classes} '
            f"classes. Received: {weights.size} numbers, {weights.tolist()[: classes + 1]}."
        )
    return weights
