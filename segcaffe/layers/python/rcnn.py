"""Layers of Faster R-CNN that its nets name as Python modules.

[py-faster-rcnn: Ren, He, Girshick and Sun, NIPS 2015]. Options beyond ``param_str`` are that repository's defaults for
training end to end. Boxes are in pixels; both corners belong to them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.detection.anchors import Proposing, all_anchors, base_anchors, deltas, propose, shift
from segcaffe.detection.boxes import overlaps
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Count
from segcaffe.layers.python.stand_in import Option, StandIn
from segcaffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]
RATIOS = (0.5, 1.0, 2.0)
_CLASSES = Option(21, 1, 1 << 16)
_ANCHORS = {"ratios": Option(RATIOS, 1e-3), "scales": Option((8, 16, 32), 1e-3), "feat_stride": Option(16, 1)}
"""What PVANET's module reads, too: ``ratios``."""


class Anchored(StandIn):
    """A layer that lays anchors over a grid."""

    known: ClassVar[dict[str, Option]] = _ANCHORS

    def count(self) -> int:
        """Anchors of a cell."""
        return len(self.options["ratios"]) * len(self.options["scales"])

    def check_grid(self, name: str, blob: Blob, channels: int | None = None) -> None:
        """ShapeError unless the blob is a grid (1, C, H, W), with so many channels for its anchors where they count."""
        if blob.ndim != 4 or blob.shape[0] != 1:
            raise self.fail(f"{name} must be (1, C, H, W); it works on one image at a time", f"shape {blob.shape}")
        if channels is not None and blob.shape[1] != channels:
            ratios, scales = (len(self.options[option]) for option in ("ratios", "scales"))
            raise self.fail(
                f"{name} must have {channels} channels, for {ratios} 'ratios' and {scales} 'scales' of param_str",
                f"shape {blob.shape}",
            )

    def check_image(self, blob: Blob) -> None:
        """ShapeError unless the blob tells height, width and scale of the image."""
        if blob.count < 3:
            raise self.fail("im_info must have height, width and scale of the image", f"shape {blob.shape}")

    def anchors(self, height: int, width: int) -> Array:
        """The anchors (H W A, 4) of a grid."""
        base = base_anchors(16, self.options["ratios"], self.options["scales"])
        return all_anchors(base, self.options["feat_stride"], height, width)


class ProposalLayer(Anchored):
    """The best boxes of a region proposal network, as the layer type Proposal.

    bottoms: probabilities (1, 2 A, H, W), deltas (1, 4 A, H, W), height, width and scale of the image (1, 3).
    tops: regions (R, 5); optionally their scores. In TRAIN 2000 of 12000, else 300 of 6000.
    """

    bottom_count: ClassVar[Count] = (3, 3)
    top_count: ClassVar[Count] = (1, 2)
    open_axis = 0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bottoms; how much is found shows in forward."""
        anchors = self.count()
        for blob, name, channels in zip(bottom, ("the scores", "the deltas"), (2 * anchors, 4 * anchors), strict=False):
            self.check_grid(name, blob, channels)
        if bottom[0].shape[2:] != bottom[1].shape[2:]:
            raise self.fail("scores and deltas need one size", f"shapes {bottom[0].shape} and {bottom[1].shape}")
        self.check_image(bottom[2])
        top[0].reshape(1, 5)
        if len(top) > 1:
            top[1].reshape(1, 1, 1, 1)

    def example(self, index: int, bottom: Blobs) -> Any:
        """Of bottom 2: an image as large as the map of anchors, at scale 1."""
        if index != 2:
            return None
        image = np.ones(bottom[2].count, np.float32)
        image[:2] = np.array(bottom[0].shape[2:]) * self.options["feat_stride"]
        return image.reshape(bottom[2].shape)

    @property
    def proposing(self) -> Proposing:
        """Which boxes are proposed."""
        before, after = (12000, 2000) if self.phase == caffe_pb2.TRAIN else (6000, 300)
        return Proposing(16, before, after, 0.7)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Propose."""
        _, channels, height, width = bottom[0].shape
        scores = bottom[0].data[0, channels // 2 :].transpose(1, 2, 0).reshape(-1)
        moves = bottom[1].data[0].transpose(1, 2, 0).reshape(-1, 4)
        boxes = shift(self.anchors(height, width), moves)
        boxes, scores = propose(boxes, scores, bottom[2].data.reshape(-1), self.proposing)
        top[0].reshape(len(boxes), 5)
        top[0].data[:, 0], top[0].data[:, 1:] = 0, boxes
        if len(top) > 1:
            top[1].reshape(len(boxes), 1, 1, 1)
            top[1].data.reshape(-1)[...] = scores


class AnchorTargetLayer(Anchored):
    """Which anchors show an object, and where it lies.

    bottoms: the scores (1, 2 A, H, W), for their size; true boxes (G, 5): corners, label; height, width and scale of
    the image (1, 3).
    tops: labels (1, 1, A H, W), 1, 0 or -1; deltas, weights inside and weights outside the loss (1, 4 A, H, W).

    Of the anchors inside the image those are objects that overlap by 0.7 with a true box, or most of all with one;
    those background that overlap by less than 0.3 with all. 256 count, at most half of them objects, drawn at random.
    """

    known: ClassVar[dict[str, Option]] = {**_ANCHORS, "allowed_border": Option(0, -1e6)}
    bottom_count: ClassVar[Count] = (3, 4)
    top_count: ClassVar[Count] = (1, 4)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bottoms, set the tops' shapes."""
        self.check_grid("the scores", bottom[0])
        self.check_rows("gt_boxes", bottom[1], 5)
        self.check_image(bottom[2])
        height, width = bottom[0].shape[2:]
        count = self.count()
        top[0].reshape(1, 1, count * height, width)
        for blob in top[1:]:
            blob.reshape(1, 4 * count, height, width)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Match and draw."""
        height, width = bottom[0].shape[2:]
        count = self.count()
        anchors, truth = self.anchors(height, width), bottom[1].data.reshape(-1, 5)[:, :4]
        rows, columns = (float(value) for value in bottom[2].data.reshape(-1)[:2])
        border = self.options["allowed_border"]
        limit = np.array([columns, rows]) + border
        inside = np.flatnonzero((anchors[:, :2] >= -border).all(axis=1) & (anchors[:, 2:] < limit).all(axis=1))
        labels = np.full(len(anchors), -1.0)
        moves, inner, outer = (np.zeros((len(anchors), 4)) for _ in range(3))
        if len(inside) and len(truth):
            shared = overlaps(anchors[inside], truth, border=1)
            best = shared.max(axis=1)
            own = np.full(len(inside), -1.0)
            own[best < 0.3] = 0
            own[((shared == shared.max(axis=0)) & (shared > 0)).any(axis=1)] = 1
            own[best >= 0.7] = 1
            keep_some(own, 1, 128)
            keep_some(own, 0, 256 - int((own == 1).sum()))
            labels[inside], moves[inside] = own, deltas(anchors[inside], truth[shared.argmax(axis=1)])
        inner[labels == 1] = 1
        outer[labels >= 0] = 1 / max(1, int((labels >= 0).sum()))
        top[0].data[...] = labels.reshape(height, width, count).transpose(2, 0, 1).reshape(top[0].shape)
        for blob, values in zip(top[1:], (moves, inner, outer), strict=False):
            blob.data[0] = values.reshape(height, width, 4 * count).transpose(2, 0, 1)


class ProposalTargetLayer(StandIn):
    """Proposals drawn for the second stage, with labels and where the true boxes lie.

    bottoms: regions (R, 5); true boxes (G, 5): corners, label.
    tops: regions (128, 5) or fewer; labels; deltas over 0.1, 0.1, 0.2, 0.2, in the columns of their class (., 4 C);
    weights inside and outside the loss.

    A quarter, at most, overlap with a true box by at least 0.5 and have its label; the others are background.
    """

    known: ClassVar[dict[str, Option]] = {
        "num_classes": _CLASSES,
        "batch_size": Option(128, 1),
        "fg_fraction": Option(0.25, 0, 1),
    }
    bottom_count: ClassVar[Count] = (2, 2)
    top_count: ClassVar[Count] = (1, 5)
    open_axis = 0
    _SIZES = np.array([0.1, 0.1, 0.2, 0.2])

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bottoms; how many are drawn shows in forward."""
        for blob, name in zip(bottom, ("the regions", "gt_boxes"), strict=True):
            self.check_rows(name, blob, 5)
        columns = 4 * self._columns()
        for blob, shape in zip(top, ((1, 5), (1, 1), (1, columns), (1, columns), (1, columns)), strict=False):
            blob.reshape(*shape)

    def _columns(self) -> int:
        """Classes whose boxes are told apart; R-FCN's agnostic nets have two."""
        return 2 if self.options.get("agnostic") else int(self.options["num_classes"])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Draw."""
        truth = bottom[1].data.reshape(-1, 5)
        classes = self.options["num_classes"]
        if not ((truth[:, 4] >= 0) & (truth[:, 4] < classes)).all():
            raise self.fail(f"the labels in gt_boxes must lie in 0..{classes - 1}, as num_classes says", truth[:, 4])
        own = np.concatenate([np.zeros((len(truth), 1)), truth[:, :4]], axis=1)
        regions = np.concatenate([bottom[0].data.reshape(-1, 5), own])
        shared = overlaps(regions[:, 1:], truth[:, :4], border=1) if len(truth) else np.zeros((len(regions), 1))
        best, which = shared.max(axis=1), shared.argmax(axis=1)
        objects = draw(np.flatnonzero(best >= 0.5), round(self.options["fg_fraction"] * self.options["batch_size"]))
        background = draw(np.flatnonzero(best < 0.5), self.options["batch_size"] - len(objects))
        chosen = np.concatenate([objects, background])
        labels = np.zeros(len(chosen))
        columns = self._columns()
        moves, weights = np.zeros((len(chosen), columns, 4)), np.zeros((len(chosen), columns, 4))
        if len(objects):
            labels[: len(objects)] = truth[which[objects], 4]
            column = np.minimum(labels[: len(objects)].astype(int), columns - 1)
            wanted = deltas(regions[objects, 1:], truth[which[objects], :4]) / self._SIZES
            moves[np.arange(len(objects)), column], weights[np.arange(len(objects)), column] = wanted, 1
        flat = (moves.reshape(len(chosen), -1), weights.reshape(len(chosen), -1))
        for blob, values in zip(top, (regions[chosen], labels[:, None], *flat, flat[1]), strict=False):
            blob.reshape(*values.shape)
            blob.data[...] = values


class RoIDataLayer(StandIn):
    """Images and true boxes, which py-faster-rcnn's own program hands to its layer; here the net can be built only.

    tops: data (1, 3, 600, 1000), im_info (1, 3), gt_boxes (1, 5); of a Fast R-CNN, with more tops than these, data,
    rois (1, 5), labels (1,), and bbox_targets, bbox_inside_weights and bbox_outside_weights (1, 4 num_classes).
    """

    known: ClassVar[dict[str, Option]] = {"num_classes": _CLASSES}
    bottom_count: ClassVar[Count] = (0, 0)
    top_count: ClassVar[Count] = (1, 6)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """The shapes that the original begins with."""
        targets = (1, 4 * self.options["num_classes"])
        others = ((1, 3), (1, 5)) if len(top) <= 3 else ((1, 5), (1,), targets, targets, targets)
        for blob, shape in zip(top, ((1, 3, 600, 1000), *others), strict=False):
            blob.reshape(*shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """There is nothing to hand on."""
        raise DataError(
            "py-faster-rcnn's RoIDataLayer gets its images from that program and has none here. Put Input layers for "
            "data, im_info and gt_boxes in its place, or install its module roi_data_layer."
        )


def draw(candidates: Array, most: int) -> Array:
    """At most so many of the candidates, by chance."""
    if len(candidates) <= most:
        return candidates
    return np.sort(device.generator().choice(candidates, max(most, 0), replace=False))


def keep_some(labels: Array, label: int, most: int) -> None:
    """Let at most so many places keep a label; the others get -1."""
    places = np.flatnonzero(labels == label)
    labels[np.setdiff1d(places, draw(places, most))] = -1
