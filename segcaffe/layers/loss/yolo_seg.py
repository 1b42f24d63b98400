"""YoloSeg: the loss of YOLO's label maps."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class YoloSeg(LossLayer):
    """Loss = sum of ((p - label) times a factor)^2 over N, where p is the sigmoid of a score.   [MobileNet-YOLO].

    bottoms: scores (N, C, H, W); labels of the same shape, 0 to 1; optionally the numbers of pixels (N, C) of each
    class in each item.
    top: scalar.

    The factor is object_scale; with the third bottom, where a label is above 0.5, that times (2 - the class's pixels
    over those of all others, in the whole batch). The gradient is (p - label) times the factor over N, that of a cross
    entropy and not that of the loss, as in the original.
    """

    bottom_count = (2, 3)
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the scale."""
        options = self.param.yolo_seg_param
        self.scale: float = options.object_scale
        if options.use_logic_gradient or options.use_hardsigmoid:
            raise self.fail("use_logic_gradient and use_hardsigmoid are not built; leave them out of yolo_seg_param")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        super().reshape(bottom, top)
        if bottom[0].ndim != 4 or bottom[1].shape != bottom[0].shape:
            received = f"shapes {bottom[0].shape} and {bottom[1].shape}"
            raise self.fail("needs scores (N, C, H, W) and labels of the same shape", received)
        if len(bottom) > 2 and bottom[2].count != bottom[0].shape[0] * bottom[0].shape[1]:
            raise self.fail("bottom 2 must have a number of pixels for each item and class", f"shape {bottom[2].shape}")
        self.error = self.own_blob("error", bottom[0].shape, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the errors, and sum their squares."""
        xp, items = self.xp, max(1, bottom[0].shape[0])
        label, error = bottom[1].array, self.error.array
        # By the tangent, which does not overflow.
        xp.tanh(bottom[0].array * self.dtype.type(0.5), out=error)
        error *= self.dtype.type(0.5)
        error += self.dtype.type(0.5)
        error -= label
        error *= self.dtype.type(self.scale)
        if len(bottom) > 2:
            pixels = bottom[2].array.reshape(*bottom[0].shape[:2])
            size = bottom[0].shape[2] * bottom[0].shape[3]
            share = pixels.sum(axis=0) / xp.maximum((size - pixels).sum(axis=0), self.dtype.type(1e-20))
            error *= xp.where(label > 0.5, (2 - share)[:, None, None], self.dtype.type(1)).astype(self.dtype)
        top[0].array[...] = (error * error).sum() / items

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The errors over the batch's size."""
        if propagate_down[0]:
            factor = float(top[0].diff) / max(1, bottom[0].shape[0])
            self.xp.multiply(self.error.array, self.dtype.type(factor), out=bottom[0].grad)
