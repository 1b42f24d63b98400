"""Which boxes of an item a loss looks at, with what they should be: matched, then mined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.boxes import Code, decode, encode
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.detection.matching import UNMATCHED, Matching, match
from segcaffe.detection.mining import Mining, choose

Array = np.ndarray[Any, Any]
FLOOR = float(np.finfo(np.float32).tiny)
"""The least probability whose logarithm is taken."""


class Predicted(NamedTuple):
    """What is predicted for one item, and what is true: P priors with S locations each (1, or one for each class).

    Attributes
    ----------
    boxes, variances:
        (P, 4): the priors.
    locations, confidences:
        (P, S, 4) and (P, C).
    truth:
        Its true boxes.
    candidates:
        (P,) of bool: which may be mined; None: all.
    """

    boxes: Array
    variances: Array
    locations: Array
    confidences: Array
    truth: TrueBoxes
    candidates: Array | None

    def decoded(self, coding: Code, slot: int) -> Array:
        """The boxes (P, 4) that the locations of a slot stand for."""
        return decode(coding, self.boxes, self.variances, self.locations[:, slot])


class Chosen(NamedTuple):
    """The boxes of one item that the loss looks at.

    Attributes
    ----------
    item:
        What is predicted for it.
    slots, priors:
        (M,): of those with a true box, which locations they have (0 where classes share them) and their numbers.
    targets:
        (M, 4): the numbers that their locations should be.
    labels:
        (M,): of their true boxes.
    negatives:
        The numbers of those that should show background.
    """

    item: Predicted
    slots: Array
    priors: Array
    targets: Array
    labels: Array
    negatives: Array


@dataclass(frozen=True)
class Choosing:
    """How boxes are chosen.

    Attributes
    ----------
    coding, matching, mining:
        How boxes are coded, matched with true ones, and chosen among the rest.
    classes, background:
        The number of classes, and which one is the background.
    shared:
        Whether classes share a prior's location.
    by_priors:
        Whether priors are matched, rather than predicted boxes.
    suppress_priors:
        Whether priors, rather than predicted boxes, say which of those mined overlap.
    inside:
        Whether corners outside the image count as right.
    smooth, softmax:
        Which losses are compared: smooth L1 rather than squares, softmax rather than logistic.
    """

    coding: Code
    matching: Matching
    mining: Mining
    classes: int
    background: int
    shared: bool
    by_priors: bool
    suppress_priors: bool
    inside: bool
    smooth: bool
    softmax: bool

    @property
    def slots(self) -> int:
        """Locations of a prior."""
        return 1 if self.shared else self.classes

    def choose(self, item: Predicted) -> Chosen:
        """What the loss looks at in an item."""
        matches, best = self._match(item)
        targets = np.empty((*matches.shape, 4), item.locations.dtype)
        for slot in range(self.slots):
            own = matches[slot] > UNMATCHED
            true_boxes = item.truth.boxes[matches[slot, own]]
            targets[slot, own] = encode(self.coding, item.boxes[own], item.variances[own], true_boxes)
        negatives = np.zeros((0,), np.intp)
        if self.mining.kind != "NONE" and len(item.truth.labels):
            negatives = self._mine(item, matches, best, targets)
        return self._matched(item, matches, targets)._replace(negatives=negatives)

    def location_errors(self, own: Chosen) -> Array:
        """What the locations of chosen boxes are off (M, 4), as the loss counts it."""
        item, slots, priors = own.item, own.slots, own.priors
        error: Array = item.locations[priors, slots] - own.targets
        if self.inside:
            boxes = item.boxes[priors]
            if not self.by_priors:
                boxes = decode(self.coding, boxes, item.variances[priors], item.locations[priors, slots])
            error[(boxes < 0) | (boxes > 1)] = 0
        return error / item.variances[priors] if self.coding.variance_in_target else error

    def one_hot(self, labels: Array) -> Array:
        """Where a class (K, C) is the label: nowhere, where a logistic loss has its background beyond the classes."""
        return np.asarray(labels[:, None] == np.arange(self.classes))

    def _matched(self, item: Predicted, matches: Array, targets: Array) -> Chosen:
        slots, priors = np.nonzero(matches > UNMATCHED)
        labels = item.truth.labels[matches[slots, priors]]
        return Chosen(item, slots, priors, targets[slots, priors], labels, slots[:0])

    def _object_slots(self) -> Iterator[int]:
        """The slots with locations of use: without that of the background."""
        return (slot for slot in range(self.slots) if self.shared or slot != self.background)

    def _match(self, item: Predicted) -> tuple[Array, Array]:
        """True boxes and overlaps (S, P)."""
        priors, truth = len(item.boxes), item.truth
        if self.by_priors:
            one, best = match(self.matching, item.boxes, truth.boxes)
            matches = np.tile(one, (self.slots, 1))
            if not self.shared:
                labels = np.where(one > UNMATCHED, truth.labels[one] if len(truth.labels) else -1, -1)
                matches[(one > UNMATCHED) & (labels != np.arange(self.slots)[:, None])] = UNMATCHED
                matches[self.background : self.background + 1] = UNMATCHED
            return matches, np.tile(best, (self.slots, 1))
        all_matches = np.full((self.slots, priors), UNMATCHED)
        overlaps = np.zeros((self.slots, priors), item.locations.dtype)
        for slot in self._object_slots():
            own = np.flatnonzero(self.shared | (truth.labels == slot))
            matches, overlaps[slot] = match(self.matching, item.decoded(self.coding, slot), truth.boxes[own])
            matches[matches > UNMATCHED] = own[matches[matches > UNMATCHED]]
            all_matches[slot] = matches
        return all_matches, overlaps

    def _mine(self, item: Predicted, matches: Array, best: Array, targets: Array) -> Array:
        """Choose, take the matches that are not chosen back, and return the negatives (K,)."""
        losses = self._confidence_losses(item, matches)
        hard = self.mining.kind == "HARD_EXAMPLE"
        if hard:
            hits = self._matched(item, matches, targets)
            error = self.location_errors(hits)
            size = np.abs(error)
            np.add.at(losses, hits.priors, np.where(self.smooth & (size >= 1), size - 0.5, error**2 / 2).sum(axis=1))
        negatives = []
        for slot in self._object_slots():
            boxes = item.boxes
            if self.mining.suppression is not None and not self.suppress_priors:
                boxes = item.decoded(self.coding, slot)
            chosen = choose(self.mining, matches[slot], best[slot], losses, boxes, item.candidates)
            negatives.append(np.flatnonzero(chosen & (matches[slot] == UNMATCHED)))
            if hard:
                matches[slot, (matches[slot] > UNMATCHED) & ~chosen] = UNMATCHED
        return np.concatenate(negatives)

    def _confidence_losses(self, item: Predicted, matches: Array) -> Array:
        """The loss of each prior (P,), whatever is chosen."""
        labels = np.full(len(item.boxes), self.background)
        for row in matches[::-1]:
            labels[row > UNMATCHED] = item.truth.labels[row[row > UNMATCHED]]
        x, hit = item.confidences.astype(np.float64), self.one_hot(labels)
        if self.softmax:
            x -= x.max(axis=1, keepdims=True)
            return np.asarray(np.minimum(np.log(np.exp(x).sum(axis=1)) - x[hit], -np.log(FLOOR)))
        return np.asarray((np.maximum(x, 0) - x * hit + np.log1p(np.exp(-np.abs(x)))).sum(axis=1))
