"""Proposal: the regions that a region proposal network found."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.detection.anchors import Proposing, all_anchors, base_anchors, propose, shift
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]


@register
class Proposal(Layer):
    """The best boxes of a region proposal network.   [Faster R-CNN: Ren et al., NIPS 2015].

    bottoms: probabilities (N, 2 A, H, W), the A of objects behind the A of background; deltas (N, 4 A, H, W); for each
    image its height, width and scale (N, 3).
    tops: regions (R, 5): item of the batch, xmin, ymin, xmax, ymax in pixels; optionally their scores (R, 1).

    A = len(ratio) len(scale) anchors stand around each cell, feat_stride pixels apart. Boxes smaller than min_size,
    times the image's scale, fall away; the pre_nms_topn best pass non-maximum suppression, post_nms_topn are kept.
    """

    bottom_count = (3, 3)
    top_count = (1, 2)
    open_axis = 0
    gradient_to = ()
    refuses_gradient = False
    replayable = False
    recomputes = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options; the anchors of a cell."""
        options = self.param.proposal_param
        ratios, scales = list(options.ratio) or [0.5, 1, 2], list(options.scale) or [8, 16, 32]
        if min(*ratios, *scales) <= 0 or min(options.base_size, options.feat_stride) < 1:
            raise self.fail("proposal_param needs ratios, scales, base_size and feat_stride above 0")
        self.anchors = base_anchors(options.base_size, ratios, scales)
        self.stride = options.feat_stride
        self.proposing = Proposing(options.min_size, options.pre_nms_topn, options.post_nms_topn, options.nms_thresh)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes; how much is found shows in forward."""
        scores, deltas, images = bottom
        count = len(self.anchors)
        if scores.ndim != 4 or deltas.shape != (scores.shape[0], *deltas.shape[1:2], *scores.shape[2:]):
            raise self.fail("needs probabilities and deltas (N, C, H, W)", (scores.shape, deltas.shape))
        if (scores.shape[1], deltas.shape[1]) != (2 * count, 4 * count):
            raise self.fail(
                f"{count} anchors need {2 * count} probabilities and {4 * count} deltas of each cell",
                f"{scores.shape[1]} and {deltas.shape[1]}",
            )
        if images.count < 3 * scores.shape[0] or images.shape[:1] != scores.shape[:1]:
            raise self.fail("bottom 2 must have height, width and scale of each image, (N, 3)", images.shape)
        self._placed = all_anchors(self.anchors, self.stride, *scores.shape[2:]).astype(self.dtype)
        for blob, width in zip(top, (5, 1), strict=False):
            blob.reshape(1, width)

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of bottom 2: images as large as the map of anchors, at scale 1."""
        if index != 2:
            return None
        images = np.ones((bottom[2].shape[0], bottom[2].count // bottom[2].shape[0]), np.float32)
        images[:, :2] = np.array(bottom[0].shape[2:]) * self.stride
        return images.reshape(bottom[2].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Propose image by image."""
        items, count = bottom[0].shape[0], len(self.anchors)
        found, confidences = [np.zeros((0, 5), self.dtype)], [np.zeros(0, self.dtype)]
        for n in range(items):
            scores = bottom[0].data[n, count:].transpose(1, 2, 0).reshape(-1)
            deltas = bottom[1].data[n].transpose(1, 2, 0).reshape(-1, 4)
            image = bottom[2].data[n].reshape(-1)
            if not np.isfinite(image[:3]).all() or image[:3].min() <= 0:
                raise DataError(f"{self.where}: an image needs height, width and scale above 0. Received: {image}.")
            boxes, own = propose(shift(self._placed, deltas), scores, image, self.proposing)
            found.append(np.concatenate([np.full((len(boxes), 1), n, self.dtype), boxes], axis=1))
            confidences.append(own)
        for blob, values in zip(top, (np.concatenate(found), np.concatenate(confidences)[:, None]), strict=False):
            blob.reshape(*values.shape)
            blob.data = values
