"""CtcLoss and CTCLoss: the loss of sequences whose labels have no places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.errors import DataError
from segcaffe.kernels import ctc
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import whole_numbers
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]


@register
class CtcLoss(Layer):
    """The mean over items of minus the logarithm of the probability of all paths that read as an item's labels.

    bottoms: scores (T, N, C), labels (N, L); or scores, indicators (T, N), labels (L, N). top: scalar.

    A path has one class for each step; it reads as what is left of it after equal neighbours became one, and then the
    blanks were left out. Softmax is part of the loss.

    With two bottoms (as with WarpCTC) the blank is ``blank_label``; labels that are blank are left out; the first
    ``time_step`` steps count, all unless given; an item whose labels do not fit into them is passed over. With three
    the blank is ``blank_index``, the last class where that is negative; labels end at the first negative one, steps
    before the first 0 of the indicators after the first step, and the first ``output_delay`` steps are left out.
    ``preprocess_collapse_repeated`` makes equal neighbours among the labels one; without ``ctc_merge_repeated`` equal
    neighbours of a path stay apart.   [Graves et al. 2006].
    """

    bottom_count = (2, 3)
    auto_tops = True
    loss = True
    gradient_to = (0,)
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options of the one or the other."""
        options = self.param.ctc_loss_param
        self.has_indicators = len(bottom) == 3
        self.blank = options.blank_index if self.has_indicators else options.blank_label
        self.delay = options.output_delay if self.has_indicators else 0
        self.merges = options.ctc_merge_repeated or not self.has_indicators
        self.collapses = options.preprocess_collapse_repeated and self.has_indicators

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        shape, labels = bottom[0].shape, bottom[-1].shape
        if len(shape) == 4 and shape[3] == 1:
            shape = shape[:3]
        if len(shape) != 3 or not all(shape):
            raise self.fail("the scores must be (T, N, C)", f"shape {bottom[0].shape}")
        self.steps, self.items, self.classes = shape
        if self.has_indicators:
            if bottom[1].count != self.steps * self.items or labels[1:2] != (self.items,):
                received = f"shapes {shape}, {bottom[1].shape}, {labels}"
                raise self.fail("the indicators must be (T, N), the labels (L, N)", received)
        elif labels[:1] != (self.items,):
            raise self.fail("the labels must be (N, L) with the N of the scores (T, N, C)", f"{labels} and {shape}")
        self._check_options()
        top[0].reshape()
        self._slope = self.own_blob("slope", shape, saved=True)

    def _check_options(self) -> None:
        options = self.param.ctc_loss_param
        last = self.classes - 1
        if self.has_indicators and self.blank < 0:
            self.blank = last
        self.check_range("blank_index" if self.has_indicators else "blank_label", self.blank, 0, last)
        self.check_range("output_delay", self.delay, 0, self.steps)
        self.check_range("time_step", options.time_step, 0, self.steps)
        if options.alphabet_size not in (0, self.classes):
            raise self.fail("alphabet_size is the number of classes", f"{options.alphabet_size} of {self.classes}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """The loss, and its gradient for backward."""
        scores = bottom[0].data.reshape(self._slope.shape)
        if not np.isfinite(scores).all():
            raise DataError(f"{self.where}: the scores must be finite numbers.")
        labels, lengths = self._sequences(bottom)
        losses = np.empty(self.items)
        slope = self._slope.data
        slope[: self.delay] = 0
        ctc.forward(scores[self.delay :], labels, lengths, self.blank, self.merges, losses, slope[self.delay :])
        top[0].data[...] = losses.sum() / self.items

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Probabilities minus those given the labels."""
        if propagate_down[0]:
            factor = self.dtype.type(float(top[0].diff) / self.items)
            bottom[0].grad[...] = (self._slope.array * factor).reshape(bottom[0].shape)

    def _sequences(self, bottom: Blobs) -> tuple[Array, Array]:
        """Each item's labels (N, L), and (2, N) its numbers of steps and of labels."""
        given = whole_numbers(self, bottom[-1])
        rows = given.reshape(len(given), self.items).T if self.has_indicators else given.reshape(self.items, -1)
        steps = self._steps(bottom)
        sequences = [self._sequence(row) for row in rows]
        for n, sequence in enumerate(sequences):
            needed = sequence.size + int((sequence[1:] == sequence[:-1]).sum()) * self.merges
            if needed <= steps[n]:
                continue
            if self.has_indicators:
                raise DataError(
                    f"{self.where}: item {n} has {sequence.size} labels, which take {needed} steps. Received: "
                    f"{steps[n]} steps; give longer sequences, or fewer labels."
                )
            steps[n] = 0
        labels = np.zeros((self.items, max(sequence.size for sequence in sequences)), np.int64)
        for row, sequence in zip(labels, sequences, strict=True):
            row[: sequence.size] = sequence
        return labels, np.array([steps, [sequence.size for sequence in sequences]], np.int64)

    def _sequence(self, row: Array) -> Array:
        """The labels that count of a row of the labels."""
        if self.has_indicators:
            ends = np.flatnonzero(row < 0)
            row = row[: ends[0]] if ends.size else row
            if self.collapses:
                row = row[np.r_[True, row[1:] != row[:-1]][: row.size]]
        else:
            row = row[row != self.blank]
        bad = row[(row < 0) | (row >= self.classes) | (row == self.blank)]
        if bad.size:
            rule = f"labels are classes, 0..{self.classes - 1}, and not the blank, {self.blank}"
            raise DataError(f"{self.where}: {rule}. Received: {bad[0]}.")
        return row

    def _steps(self, bottom: Blobs) -> list[int]:
        """How many steps each item has, the delay left out."""
        if not self.has_indicators:
            return [self.param.ctc_loss_param.time_step or self.steps] * self.items
        starts = device.to_host(bottom[1].array).reshape(self.steps, self.items) < 0.5
        starts[0] = False
        ends = np.where(starts.any(axis=0), starts.argmax(axis=0), self.steps)
        return [max(0, int(end) - self.delay) for end in ends]


@register
class CTCLoss(CtcLoss):
    """As `CtcLoss`: two bottoms or three, one top."""
