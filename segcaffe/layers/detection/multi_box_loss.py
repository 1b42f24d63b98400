"""MultiBoxLoss: how far a detector's boxes and labels are from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.boxes import Code, decode, encode
from segcaffe.detection.ground_truth import ROW, TrueBoxes
from segcaffe.detection.matching import UNMATCHED, Matching, match
from segcaffe.detection.mining import Mining, choose
from segcaffe.detection.suppression import Suppression
from segcaffe.errors import DataError
from segcaffe.kernels import difference_loss, sigmoid_loss, softmax_loss
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import MultiBoxLossParameter, PriorBoxParameter

Array = np.ndarray[Any, Any]
_FLOOR = float(np.finfo(np.float32).tiny)


class _Chosen(NamedTuple):
    """The boxes of one item that the loss looks at.

    Attributes
    ----------
    boxes:
        (P, 4): the item's priors.
    slots, priors:
        (M,): of those with a true box, which locations they have (0 where classes share them) and their numbers.
    targets:
        (M, 4): the numbers that their locations should be.
    labels:
        (M,): of their true boxes.
    negatives:
        The numbers of those that should show background.
    """

    boxes: Array
    slots: Array
    priors: Array
    targets: Array
    labels: Array
    negatives: Array


@register
class MultiBoxLoss(Layer):
    """Loss = (loc_weight * loss of locations + loss of confidences) / normalizer.   [SSD: Liu et al., ECCV 2016].

    bottoms: locations (N, 4 P) or, where classes do not share them, (N, 4 P C); confidences (N, P C); priors and
    variances (1, 2, 4 P); true boxes (1, 1, G, 8) with item, label, instance, xmin, ymin, xmax, ymax, difficult (item
    -1: none); of nets with two stages then confidences (N, 2 P), after their softmax, and locations (N, 4 P) of the
    first, which moves the priors; those that are objects less likely than objectness_score are no negatives.
    top: scalar.

    Each prior is matched with at most one true box. The locations of those that are get a smooth L1 or squared loss
    against the box as coded relative to the prior; their confidences and those of the hardest others a softmax or
    logistic loss. Normalization VALID divides by the number of matches.
    """

    options_field = "multibox_loss_param"
    other_options = ("loss_param",)
    bottom_count = (4, 6)
    auto_tops = True
    loss = True
    gradient_to = (0, 1)
    refuses_gradient = False
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.multibox_loss_param
        self.classes, self.background = options.num_classes, options.background_label_id
        if self.classes < 1:
            raise self.fail("multibox_loss_param.num_classes must be given", self.classes)
        self.shared, self.by_priors = options.share_location, options.use_prior_for_matching
        self.loc_weight, self.inside = options.loc_weight, options.bp_inside
        self.smooth = options.loc_loss_type == MultiBoxLossParameter.SMOOTH_L1
        self.softmax = options.conf_loss_type == MultiBoxLossParameter.SOFTMAX
        if self.softmax and self.background >= self.classes:
            raise self.fail(f"background_label_id must be one of the {self.classes} classes", self.background)
        kind = PriorBoxParameter.CodeType.Name(options.code_type)
        self.coding = Code(kind, options.encode_variance_in_target)
        self.agnostic, self.difficult = options.map_object_to_agnostic, options.use_difficult_gt
        self.matching = Matching(
            options.match_type == MultiBoxLossParameter.PER_PREDICTION,
            options.overlap_threshold,
            options.ignore_cross_boundary_bbox,
        )
        self.mining = self._read_mining(options)
        self.normalization = normalization_mode(self.param.loss_param)
        self.objectness = options.objectness_score
        if len(bottom) > 5 and not self.by_priors:
            raise self.fail("with bottom 5, locations of an earlier stage, use_prior_for_matching must be true")

    def _read_mining(self, options: MultiBoxLossParameter) -> Mining:
        kind = MultiBoxLossParameter.MiningType.Name(options.mining_type)
        if options.HasField("do_neg_mining") and not options.HasField("mining_type"):
            # The first SSD had this flag alone.
            kind = "MAX_NEGATIVE" if options.do_neg_mining else "NONE"
        if kind == "MAX_NEGATIVE" and not 0 < options.neg_pos_ratio < math.inf:
            raise self.fail("multibox_loss_param.neg_pos_ratio must be above 0", options.neg_pos_ratio)
        if kind == "HARD_EXAMPLE" and options.sample_size <= 0:
            raise self.fail("multibox_loss_param.sample_size must be above 0", options.sample_size)
        nms = options.nms_param
        apart = options.HasField("nms_param") and nms.nms_threshold > 0
        top_k = nms.top_k if nms.HasField("top_k") else -1
        suppression = Suppression(nms.nms_threshold, top_k) if apart else None
        self.suppress_priors = options.use_prior_for_nms
        return Mining(kind, options.neg_pos_ratio, options.neg_overlap, options.sample_size, suppression)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes."""
        locations, confidences, priors, truth = bottom[:4]
        if priors.ndim != 3 or priors.shape[:2] != (1, 2) or priors.shape[2] % 4:
            raise self.fail("bottom 2, priors and variances, must be (1, 2, 4 P)", f"shape {priors.shape}")
        if truth.ndim != 4 or truth.shape[3] != ROW:
            raise self.fail(f"bottom 3, true boxes, must be (1, 1, G, {ROW})", f"shape {truth.shape}")
        if not locations.shape:
            raise self.fail("bottom 0, the locations, must have a batch axis", "a scalar")
        self.priors = priors.shape[2] // 4
        self.slots = 1 if self.shared else self.classes
        wanted = (4 * self.slots * self.priors, self.classes * self.priors)
        for i, (blob, count) in enumerate(zip((locations, confidences), wanted, strict=True)):
            if blob.shape[:1] != locations.shape[:1] or blob.count != count * locations.shape[0]:
                raise self.fail(
                    f"for {self.priors} priors and {self.classes} classes bottom {i} must be (N, {count})",
                    f"shape {blob.shape}",
                )
        for i, width in zip(range(4, len(bottom)), (2, 4), strict=False):
            if (
                bottom[i].shape[:1] != locations.shape[:1]
                or bottom[i].count != width * self.priors * locations.shape[0]
            ):
                raise self.fail(f"bottom {i} must be (N, {width * self.priors})", f"shape {bottom[i].shape}")
        top[0].reshape()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Match, choose, and sum the losses of what was chosen."""
        items = bottom[0].shape[0]
        locations = bottom[0].data.reshape(items, self.priors, self.slots, 4)
        confidences = bottom[1].data.reshape(items, self.priors, self.classes)
        priors, self._variances = bottom[2].data.reshape(2, self.priors, 4)
        rows = bottom[3].data.reshape(-1, ROW)
        objects = bottom[4].data.reshape(items, self.priors, 2)[:, :, 1] >= self.objectness if len(bottom) > 4 else None
        shifts = bottom[5].data.reshape(items, self.priors, 4) if len(bottom) > 5 else None
        chosen = []
        for n in range(items):
            self._boxes = priors if shifts is None else decode(self.coding, priors, self._variances, shifts[n])
            self._candidates = None if objects is None else objects[n]
            chosen.append(self._choose(locations[n], confidences[n], self._truth(rows, n)))
        count = sum(len(item.labels) for item in chosen)
        self._normalizer = normalizer(self.normalization, items, self.priors, count)
        loss = self.loc_weight * self._location_loss(locations, chosen) + self._confidence_loss(confidences, chosen)
        top[0].data[...] = loss / self._normalizer

    def _truth(self, rows: Array, item: int) -> TrueBoxes:
        """The true boxes of an item, their labels checked."""
        truth = TrueBoxes.of_item(rows, item)
        truth = truth if self.difficult else truth.easy()
        wrong = (truth.labels < 0) | (truth.labels >= self.classes) | (truth.labels == self.background)
        if self.agnostic:
            return truth._replace(labels=np.full_like(truth.labels, self.background + 1))
        if wrong.any():
            raise DataError(
                f"{self.where}: the label of a true box must be a class in 0..{self.classes - 1} other than the "
                f"background, {self.background}. Received: {truth.labels[wrong][0]}, in item {item}."
            )
        if (sizes := truth.boxes[:, 2:] - truth.boxes[:, :2]).size and sizes.min() <= 0:
            box = truth.boxes[sizes.min(axis=1) <= 0][0]
            raise DataError(f"{self.where}: true boxes need a size above 0. Received: {box.tolist()}, in item {item}.")
        return truth

    def _choose(self, locations: Array, confidences: Array, truth: TrueBoxes) -> _Chosen:
        """What the loss looks at in an item, from locations (P, slots, 4) and confidences (P, C)."""
        matches, best = self._match(locations, truth)
        targets = np.empty((self.slots, self.priors, 4), self.dtype)
        for slot in range(self.slots):
            own = matches[slot] > UNMATCHED
            true_boxes = truth.boxes[matches[slot, own]]
            targets[slot, own] = encode(self.coding, self._boxes[own], self._variances[own], true_boxes)
        negatives = np.zeros((0,), np.intp)
        if self.mining.kind != "NONE" and len(truth.labels):
            labels = np.full(self.priors, self.background)
            for row in matches[::-1]:
                labels[row > UNMATCHED] = truth.labels[row[row > UNMATCHED]]
            losses = self._confidence_losses(confidences, labels)
            negatives = self._mine(matches, best, losses, locations, targets)
        slots, priors = np.nonzero(matches > UNMATCHED)
        return _Chosen(
            self._boxes, slots, priors, targets[slots, priors], truth.labels[matches[slots, priors]], negatives
        )

    def _match(self, locations: Array, truth: TrueBoxes) -> tuple[Array, Array]:
        """True boxes and overlaps (slots, P)."""
        if self.by_priors:
            one, best = match(self.matching, self._boxes, truth.boxes)
            matches = np.tile(one, (self.slots, 1))
            if not self.shared:
                labels = np.where(one > UNMATCHED, truth.labels[one] if len(truth.labels) else -1, -1)
                matches[(one > UNMATCHED) & (labels != np.arange(self.slots)[:, None])] = UNMATCHED
                matches[self._background_slot()] = UNMATCHED
            return matches, np.tile(best, (self.slots, 1))
        found = [np.full((self.slots, self.priors), UNMATCHED), np.zeros((self.slots, self.priors), self.dtype)]
        for slot in range(self.slots):
            if not self.shared and slot == self.background:
                continue
            own = np.flatnonzero(self.shared | (truth.labels == slot))
            boxes = decode(self.coding, self._boxes, self._variances, locations[:, slot])
            matches, best = match(self.matching, boxes, truth.boxes[own])
            matches[matches > UNMATCHED] = own[matches[matches > UNMATCHED]]
            found[0][slot], found[1][slot] = matches, best
        return found[0], found[1]

    def _background_slot(self) -> slice:
        """The slot of the background, which has no locations of use."""
        return slice(self.background, self.background + 1)

    def _confidence_losses(self, confidences: Array, labels: Array) -> Array:
        """The loss of each prior (P,), whatever is chosen."""
        x = confidences.astype(np.float64)
        hit = self._one_hot(labels)
        if self.softmax:
            x -= x.max(axis=1, keepdims=True)
            return np.asarray(np.minimum(np.log(np.exp(x).sum(axis=1)) - x[hit], -np.log(_FLOOR)))
        return np.asarray((np.maximum(x, 0) - x * hit + np.log1p(np.exp(-np.abs(x)))).sum(axis=1))

    def _mine(self, matches: Array, best: Array, losses: Array, locations: Array, targets: Array) -> Array:
        """Choose, take the matches that are not chosen back, and return the negatives (K,)."""
        hard = self.mining.kind == "HARD_EXAMPLE"
        if hard:
            slots, priors = np.nonzero(matches > UNMATCHED)
            hits = _Chosen(self._boxes, slots, priors, targets[slots, priors], slots[:0], slots[:0])
            error = self._location_errors(hits, locations)
            size = np.abs(error)
            np.add.at(losses, priors, np.where(self.smooth & (size >= 1), size - 0.5, error**2 / 2).sum(axis=1))
        negatives = []
        for slot in range(self.slots):
            if not self.shared and slot == self.background:
                continue
            boxes = self._boxes
            if self.mining.suppression is not None and not self.suppress_priors:
                boxes = decode(self.coding, self._boxes, self._variances, locations[:, slot])
            chosen = choose(self.mining, matches[slot], best[slot], losses, boxes, self._candidates)
            negatives.append(np.flatnonzero(chosen & (matches[slot] == UNMATCHED)))
            if hard:
                matches[slot, (matches[slot] > UNMATCHED) & ~chosen] = UNMATCHED
        return np.concatenate(negatives)

    def _location_errors(self, own: _Chosen, locations: Array) -> Array:
        """What the locations of an item (P, slots, 4) are off (M, 4), as the loss counts it."""
        slots, priors = own.slots, own.priors
        error = locations[priors, slots] - own.targets
        if self.inside:
            boxes = own.boxes[priors]
            if not self.by_priors:
                boxes = decode(self.coding, boxes, self._variances[priors], locations[priors, slots])
            error[(boxes < 0) | (boxes > 1)] = 0
        return error / self._variances[priors] if self.coding.variance_in_target else error

    def _location_loss(self, locations: Array, chosen: list[_Chosen]) -> float:
        """The sum over all matches; keeps its derivative for backward."""
        parts = [self._location_errors(own, locations[n]) for n, own in enumerate(chosen)]
        error = np.concatenate([np.zeros((0, 4), self.dtype), *parts])
        slope, total = np.empty_like(error), np.zeros(1)
        if self.smooth:
            difference_loss.smooth(error, np.zeros_like(error), None, None, slope, total)
        else:
            difference_loss.squares(error, np.zeros_like(error), slope, total)
            total /= 2
        items = np.repeat(np.arange(len(chosen)), [len(own.priors) for own in chosen])
        priors, slots = (_joined([getattr(own, name) for own in chosen]) for name in ("priors", "slots"))
        if self.coding.variance_in_target:
            slope /= self._variances[priors]
        self._location_slope = (items, priors, slots), slope
        return float(total[0])

    def _confidence_loss(self, confidences: Array, chosen: list[_Chosen]) -> float:
        """The sum over what was chosen; keeps its derivative for backward."""
        items, priors, labels = self._judged(chosen)
        scores = confidences[items, priors]
        total = np.zeros(3)
        if self.softmax:
            ones = np.ones(self.classes, self.dtype)
            slope, at = np.empty((*scores.shape, 1), self.dtype), labels[:, None].astype(self.dtype)
            softmax_loss.forward(scores[..., None], at, ones, softmax_loss.NO_IGNORE, _FLOOR, slope, total)
            softmax_loss.backward(slope, at, ones, softmax_loss.NO_IGNORE, 1.0, slope)
        else:
            target, slope = self._one_hot(labels).astype(self.dtype), np.empty_like(scores)
            if self.mining.kind == "NONE":  # There the background is where nothing is, and no class of its own.
                target[labels == self.background] = 0
            sigmoid_loss.forward(scores.reshape(-1), target.reshape(-1), softmax_loss.NO_IGNORE, total[:2])
            flat = slope.reshape(-1)
            sigmoid_loss.backward(scores.reshape(-1), target.reshape(-1), softmax_loss.NO_IGNORE, 1.0, flat)
        self._confidence_slope = (items, priors), slope.reshape(scores.shape)
        return float(total[0])

    def _one_hot(self, labels: Array) -> Array:
        """Where a class (K, C) is the label: nowhere, where a logistic loss has its background beyond the classes."""
        return np.asarray(labels[:, None] == np.arange(self.classes))

    def _judged(self, chosen: list[_Chosen]) -> tuple[Array, Array, Array]:
        """Items, priors and labels (K,) of the confidences that count."""
        if self.mining.kind == "NONE":
            labels = np.full((len(chosen), self.priors), self.background)
            for row, own in zip(labels, chosen, strict=True):
                row[own.priors] = own.labels
            items, priors = np.indices(labels.shape).reshape(2, -1)
            return items, priors, labels.reshape(-1)
        items = np.repeat(np.arange(len(chosen)), [len(own.priors) + len(own.negatives) for own in chosen])
        priors = _joined([part for own in chosen for part in (own.priors, own.negatives)])
        background = [np.full(len(own.negatives), self.background) for own in chosen]
        parts = [part for own, rest in zip(chosen, background, strict=True) for part in (own.labels, rest)]
        return items, priors, _joined(parts)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Spread the derivatives over locations and confidences; what was not chosen gets 0."""
        scale = float(top[0].diff) / self._normalizer
        kept = ((self._location_slope, self.loc_weight), (self._confidence_slope, 1.0))
        for i, ((where, slope), weight) in enumerate(kept):
            if propagate_down[i]:
                width = (self.slots, 4) if i == 0 else (self.classes,)
                grad = np.zeros((bottom[i].shape[0], self.priors, *width), self.dtype)
                np.add.at(grad, where, slope * self.dtype.type(scale * weight))
                bottom[i].diff = grad.reshape(bottom[i].shape)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate([np.zeros((0,), np.intp), *parts])
