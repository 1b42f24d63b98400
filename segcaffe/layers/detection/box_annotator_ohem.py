"""BoxAnnotatorOHEM: of each image the regions with the largest losses keep their labels."""

from __future__ import annotations

import numpy as np

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class BoxAnnotatorOHEM(Layer):
    """The labels of the roi_per_img hardest regions of each image, and their weights.   [R-FCN: Dai et al., 2016].

    bottoms: regions (R, 5), whose first column is the item of the batch; their losses, R: of labels and boxes together,
    as in the original, or in two bottoms, which are added; labels, R; weights of the boxes (R, C, ...).
    tops: labels, ignore_label for all but the hardest regions; weights, 0 for those. Shapes as of the bottoms.
    """

    options_field = "box_annotator_ohem_param"
    bottom_count = (4, 5)
    top_count = (2, 2)
    gradient_to = ()
    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.box_annotator_ohem_param
        self.most, self.ignore = options.roi_per_img, options.ignore_label
        if self.most < 1:
            raise self.fail("box_annotator_ohem_param.roi_per_img must be at least 1", self.most)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all are of the same regions."""
        regions = bottom[0].shape[0] if bottom[0].ndim else 0
        if bottom[0].count != 5 * regions or any(blob.count != regions for blob in bottom[1:-1]):
            losses = ", R losses" * (len(bottom) - 3)
            raise self.fail(f"needs regions (R, 5){losses} and R labels", [blob.shape for blob in bottom])
        if bottom[-1].shape[:1] != (regions,):
            raise self.fail(f"needs weights of the {regions} regions as bottom {len(bottom) - 1}", bottom[-1].shape)
        for own, source in zip(top, bottom[-2:], strict=True):
            own.reshape_like(source)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Choose by the loss, all of a region together."""
        if not bottom[-2].count:
            return
        items = bottom[0].data.reshape(-1, 5)[:, 0]
        loss = np.sum([blob.data.reshape(-1) for blob in bottom[1:-2]], axis=0)
        order = np.argsort(-loss, kind="stable")
        chosen = np.zeros(len(items), np.bool_)
        for item in np.unique(items):
            chosen[order[items[order] == item][: self.most]] = True
        labels, weights = (blob.data.reshape(len(items), -1) for blob in bottom[-2:])
        top[0].data = np.where(chosen[:, None], labels, self.ignore).reshape(top[0].shape).astype(self.dtype)
        top[1].data = np.where(chosen[:, None], weights, 0).reshape(top[1].shape).astype(self.dtype)
