"""MultiBoxLoss: how far a detector's boxes and labels are from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.detection.boxes import Code, decode
from segcaffe.detection.choosing import FLOOR, Choosing, Chosen, Predicted
from segcaffe.detection.ground_truth import ROW, TrueBoxes
from segcaffe.detection.matching import Matching
from segcaffe.detection.mining import Mining
from segcaffe.detection.suppression import Suppression
from segcaffe.errors import DataError
from segcaffe.kernels import difference_loss, sigmoid_loss, softmax_loss
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import MultiBoxLossParameter, PriorBoxParameter

Array = np.ndarray[Any, Any]


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
        self.loc_weight = options.loc_weight
        self.agnostic, self.difficult = options.map_object_to_agnostic, options.use_difficult_gt
        self.choosing = self._read_choosing(options)
        if self.choosing.softmax and self.background >= self.classes:
            raise self.fail(f"background_label_id must be one of the {self.classes} classes", self.background)
        self.normalization = normalization_mode(self.param.loss_param)
        self.objectness = options.objectness_score
        if len(bottom) > 5 and not self.choosing.by_priors:
            raise self.fail("with bottom 5, locations of an earlier stage, use_prior_for_matching must be true")

    def _read_choosing(self, options: MultiBoxLossParameter) -> Choosing:
        kind = PriorBoxParameter.CodeType.Name(options.code_type)
        return Choosing(
            coding=Code(kind, options.encode_variance_in_target),
            matching=Matching(
                options.match_type == MultiBoxLossParameter.PER_PREDICTION,
                options.overlap_threshold,
                options.ignore_cross_boundary_bbox,
            ),
            mining=self._read_mining(options),
            classes=self.classes,
            background=self.background,
            shared=options.share_location,
            by_priors=options.use_prior_for_matching,
            suppress_priors=options.use_prior_for_nms,
            inside=options.bp_inside,
            smooth=options.loc_loss_type == MultiBoxLossParameter.SMOOTH_L1,
            softmax=options.conf_loss_type == MultiBoxLossParameter.SOFTMAX,
        )

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
        self.slots = self.choosing.slots
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
        priors, variances = bottom[2].data.reshape(2, self.priors, 4)
        rows = bottom[3].data.reshape(-1, ROW)
        objects = bottom[4].data.reshape(items, self.priors, 2)[:, :, 1] >= self.objectness if len(bottom) > 4 else None
        shifts = bottom[5].data.reshape(items, self.priors, 4) if len(bottom) > 5 else None
        chosen = []
        for n in range(items):
            boxes = priors if shifts is None else decode(self.choosing.coding, priors, variances, shifts[n])
            candidates = None if objects is None else objects[n]
            truth = self._truth(rows, n)
            item = Predicted(boxes, variances, locations[n], confidences[n], truth, candidates)
            chosen.append(self.choosing.choose(item))
        count = sum(len(item.labels) for item in chosen)
        self._normalizer = normalizer(self.normalization, items, self.priors, count, self.training)
        loss = self.loc_weight * self._location_loss(chosen) + self._confidence_loss(confidences, chosen)
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

    def _location_loss(self, chosen: list[Chosen]) -> float:
        """The sum over all matches; keeps its derivative for backward."""
        error = np.concatenate([np.zeros((0, 4), self.dtype), *map(self.choosing.location_errors, chosen)])
        slope, total = np.empty_like(error), np.zeros(1)
        if self.choosing.smooth:
            difference_loss.smooth(error, np.zeros_like(error), None, None, slope, total)
        else:
            difference_loss.squares(error, np.zeros_like(error), slope, total)
            total /= 2
        items = np.repeat(np.arange(len(chosen)), [len(own.priors) for own in chosen])
        priors, slots = (_joined([getattr(own, name) for own in chosen]) for name in ("priors", "slots"))
        if self.choosing.coding.variance_in_target:
            slope /= np.concatenate([error[:0], *(own.item.variances[own.priors] for own in chosen)])
        self._location_slope = (items, priors, slots), slope
        return float(total[0])

    def _confidence_loss(self, confidences: Array, chosen: list[Chosen]) -> float:
        """The sum over what was chosen; keeps its derivative for backward."""
        items, priors, labels = self._judged(chosen)
        scores = confidences[items, priors]
        total = np.zeros(3)
        if self.choosing.softmax:
            ones = np.ones(self.classes, self.dtype)
            slope, at = np.empty((*scores.shape, 1), self.dtype), labels[:, None].astype(self.dtype)
            softmax_loss.forward(scores[..., None], at, ones, softmax_loss.NO_IGNORE, FLOOR, slope, total)
            softmax_loss.backward(slope, at, ones, softmax_loss.NO_IGNORE, 1.0, slope)
        else:
            target, slope = self.choosing.one_hot(labels).astype(self.dtype), np.empty_like(scores)
            if (
                self.choosing.mining.kind == "NONE"
            ):  # There the background is where nothing is, and no class of its own.
                target[labels == self.background] = 0
            sigmoid_loss.forward(scores.reshape(-1), target.reshape(-1), softmax_loss.NO_IGNORE, total[:2])
            flat = slope.reshape(-1)
            sigmoid_loss.backward(scores.reshape(-1), target.reshape(-1), softmax_loss.NO_IGNORE, 1.0, flat)
        self._confidence_slope = (items, priors), slope.reshape(scores.shape)
        return float(total[0])

    def _judged(self, chosen: list[Chosen]) -> tuple[Array, Array, Array]:
        """Items, priors and labels (K,) of the confidences that count."""
        if self.choosing.mining.kind == "NONE":
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
